/* daemon: the frame of every process: admin port, signals, orderly and forced end. The process under test is this program
 * run with "daemon". */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daemon.h"
#include "tests/unit/reserve.h"

extern char **environ;

/* ---- the daemon ------------------------------------------------------------------------------------------------- */

struct fields {
        struct config_common common;
        char *mood;
};

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9490),
        {.name = "mood", .type = CONFIG_CHOICE, .offset = offsetof(struct fields, mood), .default_value = "good", .unit = "",
         .allowed = "good|stubborn|failed", .help = "stubborn does not stop, failed ends with 1"},
        {0},
};

static struct daemon d;
static struct fields fields;

static void on_stop(void *arg)
{
        (void)arg;
        if (strcmp(fields.mood, "stubborn") != 0)
                daemon_exit(&d, strcmp(fields.mood, "failed") == 0);
}

static void on_reloaded(void *arg)
{
        (void)arg;
        daemon_ready(&d, false, "reloaded");
}

static int run_daemon(int argc, char **argv)
{
        daemon_init(&d, "edged", ROLE_EDGED, keys, &fields, argc, argv, on_stop, on_reloaded, NULL);
        daemon_ready(&d, true, NULL);
        int status = daemon_run(&d);
        daemon_fini(&d, &fields);
        return status;
}

/* ---- the test --------------------------------------------------------------------------------------------------- */

static int port;

/* The status line and body of one request; "" while nobody listens. */
static const char *ask(const char *method, const char *path)
{
        static char answer[65536];
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        char request[256];
        size_t len = 0;
        ssize_t n;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        answer[0] = '\0';
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
                int r = snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method, path);
                assert_int_equal(send(fd, request, (size_t)r, MSG_NOSIGNAL), r);
                while (len < sizeof(answer) - 1 && (n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
                        len += (size_t)n;
                answer[len] = '\0';
        }
        close(fd);
        return answer;
}

static pid_t start(const char *mood)
{
        char port_text[32], mood_text[32];
        pid_t pid;
        posix_spawn_file_actions_t actions;
        port = reserve_port();
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        snprintf(mood_text, sizeof(mood_text), "mood=%s", mood);
        char *argv[] = {"edged", "daemon", "--set", port_text, "--set", mood_text, "--set", "id=edge-9", NULL};
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        while (!strstr(ask("GET", "/readyz"), "200 OK")) {
                int status;
                assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
                usleep(2000); /* between two looks at its state */
        }
        return pid;
}

static int status_of(pid_t pid)
{
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void test_admin_answers_and_sigterm_ends_with_0(void **state)
{
        (void)state;
        pid_t pid = start("good");
        assert_non_null(strstr(ask("GET", "/healthz"), "200 OK"));
        const char *metrics = ask("GET", "/metrics");
        assert_non_null(strstr(metrics, "200 OK"));
        assert_non_null(strstr(metrics, "freshet_build_info{version=\""));
        assert_non_null(strstr(metrics, "role=\"edged\""));
        assert_non_null(strstr(ask("GET", "/nothing"), "404 Not Found"));
        assert_non_null(strstr(ask("POST", "/metrics"), "405 Method Not Allowed"));
        assert_non_null(strstr(ask("HEAD", "/healthz"), "200 OK"));
        kill(pid, SIGHUP);
        while (!strstr(ask("GET", "/readyz"), "reloaded"))
                usleep(2000);
        assert_non_null(strstr(ask("GET", "/readyz"), "503 Service Unavailable"));
        kill(pid, SIGTERM);
        int status = status_of(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_fault_is_status_1(void **state)
{
        (void)state;
        pid_t pid = start("failed");
        kill(pid, SIGINT);
        int status = status_of(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_a_second_signal_ends_one_that_does_not_stop(void **state)
{
        int status;
        (void)state;
        pid_t pid = start("stubborn");
        kill(pid, SIGTERM);
        do { /* two pending signals are one, so again until it is gone */
                usleep(2000);
                kill(pid, SIGTERM);
        } while (waitpid(pid, &status, WNOHANG) == 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
}

static void test_bad_configuration_is_status_2_and_a_taken_port_status_1(void **state)
{
        char port_text[32];
        pid_t first = start("good"), pid;
        posix_spawn_file_actions_t actions;
        (void)state;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        char *bad[] = {"edged", "daemon", "--set", "mood=odd", NULL};
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, bad, environ), 0);
        assert_int_equal(WEXITSTATUS(status_of(pid)), 2);
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        char *taken[] = {"edged", "daemon", "--set", port_text, NULL};
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, taken, environ), 0);
        assert_int_equal(WEXITSTATUS(status_of(pid)), 1);
        posix_spawn_file_actions_destroy(&actions);
        kill(first, SIGTERM);
        assert_int_equal(WEXITSTATUS(status_of(first)), 0);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_admin_answers_and_sigterm_ends_with_0),
                cmocka_unit_test(test_a_fault_is_status_1),
                cmocka_unit_test(test_a_second_signal_ends_one_that_does_not_stop),
                cmocka_unit_test(test_bad_configuration_is_status_2_and_a_taken_port_status_1),
        };
        if (argc > 1 && strcmp(argv[1], "daemon") == 0) {
                argv[1] = argv[0];
                return run_daemon(argc - 1, argv + 1);
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}

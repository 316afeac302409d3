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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daemon/daemon.h"
#include "common/daemon/version.h"
#include "tests/unit/patience.h"
#include "tests/unit/reserve.h"
#include "tests/unit/scratch.h"

extern char **environ;

/* ---- the daemon ------------------------------------------------------------------------------------------------- */

struct fields {
        struct config_common common;
        char *mood;
};

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9490),
        {.name = "mood", .type = CONFIG_CHOICE, .offset = offsetof(struct fields, mood), .default_value = "good", .unit = "",
         .allowed = "good|stubborn|failed|lazy|stuck|slow|joining",
         .help = "stubborn does not stop, failed ends with 1, lazy stops when it reloads after that, stuck has a loop that stands still, "
                 "slow opens later, joining never returns from stop()"},
        {0},
};

static struct daemon d;
static struct fields fields;
static uv_timer_t later;
static bool leaving;

static bool mood_is(const char *mood)
{
        return strcmp(fields.mood, mood) == 0;
}

static void on_stuck(uv_timer_t *timer)
{
        (void)timer;
        for (;;)
                pause();
}

static void on_opened(uv_timer_t *timer)
{
        uv_close((uv_handle_t *)timer, NULL);
        daemon_opened(&d);
        daemon_ready(&d, true, NULL);
}

static void start_later(uv_timer_cb cb, uint64_t ms)
{
        uv_timer_init(d.loop, &later);
        uv_timer_start(&later, cb, ms, 0);
}

static void on_stop(void *arg)
{
        (void)arg;
        daemon_ready(&d, false, "stopping");
        leaving = true;
        while (mood_is("joining"))
                pause();
        if (mood_is("lazy"))
                return;
        if (!mood_is("stubborn"))
                daemon_exit(&d, mood_is("failed"));
}

static void on_reloaded(void *arg)
{
        (void)arg;
        if (leaving)
                daemon_exit(&d, 0);
        else
                daemon_ready(&d, false, "reloaded");
}

static int run_daemon(int argc, char **argv)
{
        daemon_init(&d, "edged", ROLE_EDGED, keys, &fields, argc, argv, on_stop, on_reloaded, NULL);
        daemon_listener(&d, "FETCH", fields.common.bind, false, "some_key");
        daemon_ready(&d, !mood_is("slow"), "reading");
        d.opens_later = mood_is("slow");
        if (mood_is("joining"))
                d.drain_ms = 500 - DAEMON_STOP_DEADLINE_MS; /* so that the test need not wait that long */
        if (mood_is("stuck"))
                start_later(on_stuck, 200);
        else if (mood_is("slow"))
                start_later(on_opened, 3000);
        int status = daemon_run(&d);
        daemon_fini(&d, &fields);
        return status;
}

/* ---- the test --------------------------------------------------------------------------------------------------- */

static int port;

/* The status line and body of one request; "" while nobody listens. */
static const char *ask_with(const char *method, const char *path, const char *headers, const char *body)
{
        static char answer[65536];
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        char request[512];
        size_t len = 0;
        ssize_t n;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        answer[0] = '\0';
        if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
                int r = snprintf(request, sizeof(request),
                                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                                 path, headers, strlen(body), body);
                assert_int_equal(send(fd, request, (size_t)r, MSG_NOSIGNAL), r);
                while (len < sizeof(answer) - 1 && (n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
                        len += (size_t)n;
                answer[len] = '\0';
        }
        close(fd);
        return answer;
}

static const char *ask(const char *method, const char *path)
{
        return ask_with(method, path, "", "");
}

static const char *body_of(const char *answer)
{
        const char *body = strstr(answer, "\r\n\r\n");
        return body ? body + 4 : "";
}

static char log_path[96];

/* What was written to its standard error. */
static const char *said(void)
{
        static char text[32768];
        FILE *f = fopen(log_path, "r");
        assert_non_null(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
        return text;
}

/* Arguments behind the program's, which is called "daemon"; they end with NULL. It ends with this process at the latest. */
static pid_t spawn(const char *const *more)
{
        char *argv[20] = {"edged", "daemon"};
        pid_t pid;
        posix_spawn_file_actions_t actions;
        for (int i = 0; more[i]; i++)
                argv[i + 2] = (char *)(uintptr_t)more[i];
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&actions, 2, log_path, O_WRONLY | O_TRUNC | O_APPEND, 0);
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
        posix_spawn_file_actions_destroy(&actions);
        return pid;
}

static pid_t start_unready(const char *mood)
{
        char port_text[32], mood_text[32];
        port = reserve_port();
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        snprintf(mood_text, sizeof(mood_text), "mood=%s", mood);
        return spawn((const char *[]){"--set", port_text, "--set", mood_text, "--set", "id=edge-9", NULL});
}

static void wait_ready(pid_t pid)
{
        while (!strstr(ask("GET", "/readyz"), "200 OK")) {
                int status;
                if (waitpid(pid, &status, WNOHANG) != 0)
                        fail_msg("it ended: %s", said());
                usleep(2000); /* between two looks at its state */
        }
}

static pid_t start(const char *mood)
{
        pid_t pid = start_unready(mood);
        wait_ready(pid);
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

static void test_it_takes_as_many_descriptors_as_it_may_have(void **state)
{
        struct rlimit old, low, its;
        (void)state;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = (struct rlimit){.rlim_cur = 256, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        pid_t pid = start("good");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &its), 0);
        assert_true(its.rlim_cur == old.rlim_max);
        kill(pid, SIGTERM);
        status_of(pid);
}

static void wait_said(const char *text)
{
        while (!strstr(said(), text))
                usleep(2000);
}

static void test_it_says_when_no_descriptor_is_free(void **state)
{
        struct rlimit none = {.rlim_cur = 3}, its;
        (void)state;
        pid_t pid = start("good");
        assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &its), 0);
        none.rlim_max = its.rlim_max;
        assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &none, NULL), 0);
        wait_said("limit=3 msg=\"out of file descriptors");
        assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &its, NULL), 0);
        wait_said("file descriptors are free again");
        kill(pid, SIGTERM);
        status_of(pid);
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

/* A timer of the loop's would never come, nor would a second signal. */
static void test_one_whose_loop_stands_still_at_the_end_is_ended(void **state)
{
        int status = 0, looks = 0;
        pid_t ended;
        (void)state;
        pid_t pid = start("joining");
        kill(pid, SIGTERM);
        while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && looks++ < 5000)
                usleep(2000);
        if (!ended)
                kill(pid, SIGKILL);
        assert_int_equal(ended, pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_non_null(strstr(said(), "the loop stands still"));
}

/* ---- by the admin port ------------------------------------------------------------------------------------------ */

static const char *ask_json(const char *method, const char *path, const char *body)
{
        return ask_with(method, path, "Content-Type: application/json\r\n", body);
}

static void test_the_node_tells_who_it_is_and_how_it_is(void **state)
{
        json_t *j;
        (void)state;
        pid_t pid = start("lazy");
        j = json_loads(body_of(ask("GET", "/api/node")), 0, NULL);
        assert_string_equal(json_string_value(json_object_get(j, "id")), "edge-9");
        assert_string_equal(json_string_value(json_object_get(j, "role")), "edged");
        assert_string_equal(json_string_value(json_object_get(j, "state")), "ready");
        assert_string_equal(json_string_value(json_object_get(j, "version")), version_number);
        assert_int_equal(json_array_size(json_object_get(j, "peers")), 0);
        assert_true(json_is_integer(json_object_get(j, "uptime")));
        json_decref(j);
        assert_non_null(strstr(ask_json("PUT", "/api/log_level", "{\"level\": \"loud\"}"), "one of debug|info|warn|error"));
        assert_non_null(strstr(ask_json("PUT", "/api/log_level", ""), "400 Bad Request"));
        assert_non_null(strstr(ask_json("PUT", "/api/log_level", "{\"level\": \"debug\"}"), "200 OK"));
        assert_non_null(strstr(ask("GET", "/api/log_level"), "{\"level\":\"debug\"}"));
        assert_non_null(strstr(ask_json("POST", "/api/drain", ""), "202 Accepted"));
        assert_non_null(strstr(ask("GET", "/api/node"), "\"state\":\"draining\",\"why\":\"stopping\""));
        assert_non_null(strstr(ask_json("POST", "/api/drain", ""), "202 Accepted"));
        kill(pid, SIGTERM); /* as an engine does after its hook has asked: that is not haste */
        while (!strstr(said(), "stopping already"))
                usleep(2000);
        kill(pid, SIGHUP);
        int status = status_of(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* The answer is out before the process is gone, however soon that is. */
static void test_a_drain_that_is_over_at_once_is_answered(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++) {
                pid_t pid = start("good");
                assert_non_null(strstr(ask_json("POST", "/api/drain", "{}"), "202 Accepted"));
                assert_int_equal(WEXITSTATUS(status_of(pid)), 0);
        }
}

static int healthcheck_of(const char *argument, const char *port_text)
{
        pid_t pid = spawn((const char *[]){argument, "--set", port_text, NULL});
        int status = status_of(pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_healthcheck_asks_the_daemon_and_says_why_not(void **state)
{
        char port_text[32];
        (void)state;
        pid_t pid = start("lazy");
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        assert_int_equal(healthcheck_of("--healthcheck", port_text), 0);
        assert_int_equal(healthcheck_of("--healthcheck=ready", port_text), 0);
        ask_json("POST", "/api/drain", "");
        assert_int_equal(healthcheck_of("--healthcheck=ready", port_text), 1);
        assert_memory_equal(said(), "stopping\n", 9);
        kill(pid, SIGHUP);
        status_of(pid);
        assert_int_equal(healthcheck_of("--healthcheck", port_text), 1);
        assert_non_null(strstr(said(), "refused"));
        assert_int_equal(healthcheck_of("--healthcheck=well", port_text), 2);
}

static void test_healthcheck_does_not_wait_for_ever(void **state)
{
        char port_text[32];
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(sa);
        (void)state;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* listens, and never answers */
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
        snprintf(port_text, sizeof(port_text), "admin_port=%d", ntohs(sa.sin_port));
        assert_int_equal(healthcheck_of("--healthcheck", port_text), 1);
        assert_non_null(strstr(said(), "timed out"));
        close(fd);
}

static char config_path[96];

static void write_config(const char *text)
{
        FILE *f = fopen(config_path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void test_a_listener_off_loopback_wants_credentials_or_insecure(void **state)
{
        char port_text[32];
        (void)state;
        port = reserve_port();
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        pid_t pid = spawn((const char *[]){"--set", port_text, "--set", "admin_bind=0.0.0.0", NULL});
        assert_int_equal(WEXITSTATUS(status_of(pid)), 2);
        assert_non_null(strstr(said(), "admin_token"));
        assert_non_null(strstr(said(), "insecure=true"));
        pid = spawn((const char *[]){"-n", "--set", "admin_bind=0.0.0.0", NULL});
        assert_int_equal(WEXITSTATUS(status_of(pid)), 2);
        pid = spawn((const char *[]){"--set", port_text, "--set", "bind=::", "--set", "cluster_token=x", NULL});
        assert_int_equal(WEXITSTATUS(status_of(pid)), 2);
        assert_non_null(strstr(said(), "FETCH is to listen on ::"));
        assert_non_null(strstr(said(), "some_key"));
        write_config("{\"admin_token\": \"x\", \"cluster_token\": \"x\"}");
        pid = spawn((const char *[]){"--set", port_text, "--set", "admin_bind=0.0.0.0", "--config", config_path, NULL});
        wait_ready(pid);
        assert_non_null(strstr(ask("GET", "/api/node"), "401 Unauthorized"));
        assert_non_null(strstr(said(), "open=\"FETCH on 127.0.0.1 (some_key)\"")); /* and nothing else */
        write_config("{}"); /* a token that is gone is no token that lets everybody in */
        kill(pid, SIGHUP);
        while (!strstr(said(), "still asked for"))
                usleep(2000);
        assert_non_null(strstr(ask("GET", "/api/node"), "401 Unauthorized"));
        write_config("{\"admin_token\": \"y\"}");
        kill(pid, SIGHUP);
        while (!strstr(ask_with("GET", "/api/node", "Authorization: Bearer y\r\n", ""), "200 OK"))
                usleep(2000);
        kill(pid, SIGTERM);
        status_of(pid);
        pid = spawn((const char *[]){"--set", port_text, "--set", "admin_bind=0.0.0.0", "--set", "bind=::", "--set", "insecure=true", NULL});
        wait_ready(pid);
        const char *warned = strstr(said(), "no credentials are set");
        assert_non_null(warned);
        assert_null(strstr(warned + 1, "no credentials are set")); /* one line for all */
        assert_non_null(strstr(said(), "open=\"nng on :: (cluster_cert, or cluster_token), admin on 0.0.0.0 (admin_token), FETCH on :: (some_key)\""));
        kill(pid, SIGTERM);
        status_of(pid);
}

/* ---- systemd ---------------------------------------------------------------------------------------------------- */

static int manager = -1; /* the socket that the service manager would have */
static char heard[65536];

static void open_manager(bool abstract)
{
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct timeval limit = {.tv_sec = PATIENCE_S};
        char name[sizeof(un.sun_path)];
        snprintf(name, sizeof(name), "%s/freshet-notify-%d", abstract ? "@" : scratch_root(), (int)getpid());
        setenv("NOTIFY_SOCKET", name, 1);
        memcpy(un.sun_path, name, strlen(name));
        if (abstract)
                un.sun_path[0] = '\0';
        else
                unlink(name);
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(manager, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
        setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        heard[0] = '\0';
}

static void close_manager(void)
{
        close(manager);
        if (*getenv("NOTIFY_SOCKET") == '/')
                unlink(getenv("NOTIFY_SOCKET"));
        unsetenv("NOTIFY_SOCKET");
        unsetenv("WATCHDOG_USEC");
}

/* Reads on until a message that begins so; everything is in heard. */
static void hear_until(const char *what)
{
        char message[256];
        for (;;) {
                ssize_t n = recv(manager, message, sizeof(message) - 1, 0);
                if (n <= 0)
                        fail_msg("%s did not come, but: %s", what, heard);
                message[n] = '\0';
                size_t used = strlen(heard);
                snprintf(heard + used, sizeof(heard) - used, "%s\n", message);
                if (strncmp(message, what, strlen(what)) == 0)
                        return;
        }
}

static void test_systemd_hears_of_every_turn_of_a_life(void **state)
{
        (void)state;
        open_manager(false);
        pid_t pid = start("lazy");
        hear_until("STATUS=ready");
        hear_until("READY=1");
        assert_null(strstr(heard, "EXTEND"));
        kill(pid, SIGHUP);
        hear_until("RELOADING=1\nMONOTONIC_USEC=");
        hear_until("STATUS=reloaded"); /* on_reloaded() says that it is not ready */
        hear_until("READY=1");
        kill(pid, SIGTERM);
        hear_until("STOPPING=1");
        hear_until("STATUS=stopping");
        kill(pid, SIGHUP);
        assert_int_equal(WEXITSTATUS(status_of(pid)), 0);
        close_manager();
}

static void test_ready_comes_when_the_sockets_are_open_and_time_is_asked_for_until_then(void **state)
{
        (void)state;
        open_manager(true);
        pid_t pid = start_unready("slow");
        hear_until("STATUS=reading");
        kill(pid, SIGHUP);
        hear_until("STATUS=reloaded"); /* which is no READY */
        hear_until("EXTEND_TIMEOUT_USEC=");
        assert_null(strstr(heard, "READY"));
        hear_until("READY=1");
        kill(pid, SIGTERM);
        assert_int_equal(WEXITSTATUS(status_of(pid)), 0);
        close_manager();
}

static int watchdogs(void)
{
        int n = 0;
        for (const char *p = heard; (p = strstr(p, "WATCHDOG=1")); p++)
                n++;
        return n;
}

static void test_the_watchdog_hears_from_a_loop_that_turns_and_not_from_one_that_is_stuck(void **state)
{
        (void)state;
        setenv("WATCHDOG_USEC", "400000", 1);
        open_manager(false);
        pid_t pid = start("good");
        for (int i = 0; i < 5; i++)
                hear_until("WATCHDOG=1");
        kill(pid, SIGTERM);
        assert_int_equal(WEXITSTATUS(status_of(pid)), 0);
        close_manager();

        setenv("WATCHDOG_USEC", "400000", 1);
        open_manager(false);
        pid = start("stuck");
        while (!strstr(ask("GET", "/healthz"), "503"))
                usleep(50000); /* between two looks: the loop is stuck from 200 ms on, which shows after 5 s */
        setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 1000}, sizeof(struct timeval));
        char message[256];
        ssize_t n;
        heard[0] = '\0';
        while ((n = recv(manager, message, sizeof(message) - 1, 0)) > 0) {
                message[n] = '\0';
                strncat(heard, message, sizeof(heard) - strlen(heard) - 1);
        }
        assert_in_range(watchdogs(), 0, 3);
        kill(pid, SIGKILL);
        status_of(pid);
        close_manager();
}

static void test_bad_configuration_is_status_2_and_a_taken_port_status_1(void **state)
{
        char port_text[32];
        pid_t first = start("good");
        (void)state;
        assert_int_equal(WEXITSTATUS(status_of(spawn((const char *[]){"--set", "mood=odd", NULL}))), 2);
        snprintf(port_text, sizeof(port_text), "admin_port=%d", port);
        assert_int_equal(WEXITSTATUS(status_of(spawn((const char *[]){"--set", port_text, NULL}))), 1);
        kill(first, SIGTERM);
        assert_int_equal(WEXITSTATUS(status_of(first)), 0);
}

int main(int argc, char **argv)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_admin_answers_and_sigterm_ends_with_0),
                cmocka_unit_test(test_it_takes_as_many_descriptors_as_it_may_have),
                cmocka_unit_test(test_it_says_when_no_descriptor_is_free),
                cmocka_unit_test(test_a_fault_is_status_1),
                cmocka_unit_test(test_a_second_signal_ends_one_that_does_not_stop),
                cmocka_unit_test(test_one_whose_loop_stands_still_at_the_end_is_ended),
                cmocka_unit_test(test_the_node_tells_who_it_is_and_how_it_is),
                cmocka_unit_test(test_a_drain_that_is_over_at_once_is_answered),
                cmocka_unit_test(test_healthcheck_asks_the_daemon_and_says_why_not),
                cmocka_unit_test(test_healthcheck_does_not_wait_for_ever),
                cmocka_unit_test(test_a_listener_off_loopback_wants_credentials_or_insecure),
                cmocka_unit_test(test_systemd_hears_of_every_turn_of_a_life),
                cmocka_unit_test(test_ready_comes_when_the_sockets_are_open_and_time_is_asked_for_until_then),
                cmocka_unit_test(test_the_watchdog_hears_from_a_loop_that_turns_and_not_from_one_that_is_stuck),
                cmocka_unit_test(test_bad_configuration_is_status_2_and_a_taken_port_status_1),
        };
        if (argc > 1 && strcmp(argv[1], "daemon") == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
                argv[1] = argv[0];
                return run_daemon(argc - 1, argv + 1);
        }
        scratch_file(log_path, sizeof(log_path));
        scratch_file(config_path, sizeof(config_path));
        int failed = cmocka_run_group_tests(tests, NULL, NULL);
        unlink(log_path);
        unlink(config_path);
        return failed;
}

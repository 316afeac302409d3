/* rpc: a peer whose packets go nowhere. */
#include <sys/syscall.h>

#include "rpc_fixture.h"

/* A port whose packets are swallowed: as many wait to be accepted as may, and the kernel drops what more come. Not by listen(), which
 * gives nng's ports a longer queue. */
static int open_swallowing(char address[32], int *filler)
{
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(at);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        assert_int_equal(syscall(SYS_listen, fd, 0), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
        snprintf(address, 32, "127.0.0.1:%d", ntohs(at.sin_port));
        *filler = raw_connect(address);
        return fd;
}

/* The port from which somebody asks to be connected with that address, and has no answer; 0: nobody does. */
static unsigned asking_from(const char *address)
{
        char line[256];
        unsigned from, to, state, asks = 0, wanted = (unsigned)atoi(strchr(address, ':') + 1);
        FILE *f = fopen("/proc/self/net/tcp", "r");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, " %*u: %*x:%x %*x:%x %x", &from, &to, &state) == 3 && to == wanted && state == TCP_SYN_SENT)
                        asks = from;
        }
        fclose(f);
        return asks;
}

static void test_a_connection_whose_packets_are_swallowed_is_tried_anew(void **state)
{
        char address[32];
        struct client c;
        int filler, fd = open_swallowing(address, &filler);
        unsigned first, next;
        (void)state;
        dial(&c, address, "");
        WAIT((first = asking_from(address)) != 0);
        int64_t begun_us = clock_mono_us();
        WAIT((next = asking_from(address)) != 0 && next != first);
        assert_true(clock_mono_us() - begun_us < 30 * US_PER_S); /* the kernel's own tries go on for a minute and more */
        rpc_client_close(c.rpc);
        close(filler);
        close(fd);
}

/* The deadline is only for the way there. */
static void test_a_connection_that_is_there_is_given_up_by_hello_alone(void **state)
{
        struct server s;
        struct client c;
        unsigned ms = 1;
        socklen_t len = sizeof(ms);
        (void)state;
        serve(&s, 4, "");
        dial_live(&c, s.address, "");
        int found = 0;
        for (int fd = 0; fd < 256; fd++) {
                struct sockaddr_in peer;
                socklen_t peer_len = sizeof(peer);
                if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) || peer.sin_family != AF_INET ||
                    ntohs(peer.sin_port) != atoi(strchr(s.address, ':') + 1))
                        continue;
                assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
                assert_int_equal(ms, 0);
                found++;
        }
        assert_int_equal(found, 1);
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_connection_whose_packets_are_swallowed_is_tried_anew, open_loop, close_loop),
                cmocka_unit_test_setup_teardown(test_a_connection_that_is_there_is_given_up_by_hello_alone, open_loop, close_loop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

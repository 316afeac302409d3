/* rpc: who comes while a server's port is being closed, which nng may take seconds for. */
#include <dlfcn.h>

#include "rpc_fixture.h"

#define COME 100 /* beyond what strangers may have */
#define END_WAIT_MS 20000

static char address[32];
static atomic_int came, ended_silently;

/* false: a byte came, or nothing for END_WAIT_MS. */
static bool ends_silently(int fd)
{
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char byte;
        return poll(&p, 1, END_WAIT_MS) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

/* Called by the gate in nng's place: the port still accepts, as long as nng_close() takes. */
int nng_close(nng_socket socket)
{
        int (*really)(nng_socket) = (int (*)(nng_socket))dlsym(RTLD_NEXT, "nng_close");
        for (int i = 0; *address && i < COME; i++) {
                int fd = raw_connect(address);
                atomic_fetch_add(&ended_silently, ends_silently(fd));
                atomic_fetch_add(&came, 1);
                close(fd);
        }
        return really(socket);
}

static void test_nobody_is_let_in_while_the_port_closes(void **state)
{
        struct server s;
        (void)state;
        serve(&s, 4, "");
        snprintf(address, sizeof(address), "%s", s.address);
        rpc_server_close(s.rpc);
        WAIT(atomic_load(&came) == COME);
        assert_int_equal(atomic_load(&ended_silently), COME);
        *address = '\0';
}

static void test_the_next_port_lets_everybody_in(void **state)
{
        struct server s;
        struct client c;
        (void)state;
        serve(&s, 4, "");
        dial_live(&c, s.address, "");
        rpc_client_close(c.rpc);
        rpc_server_close(s.rpc);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nobody_is_let_in_while_the_port_closes, open_loop, close_loop),
                cmocka_unit_test_setup_teardown(test_the_next_port_lets_everybody_in, open_loop, close_loop),
        };
        log_init("rpc_leaving_test", LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}

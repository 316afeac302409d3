/* rtmp_server_fixture.h - an RTMP port whose inside the test sees, on a loop that the test turns. Whoever publishes there publishes to
 * the test (rtmp_session_fixture.h). One test program each; include after cmocka.h. */
#ifndef TESTS_RTMP_SERVER_FIXTURE_H
#define TESTS_RTMP_SERVER_FIXTURE_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/rtmp_session_fixture.h"

#define admission_open fake_admit
#define admission_close fake_dismiss
#define publication_begin fake_begin
#define publication_frame fake_frame
#define publication_metadata fake_metadata
#define publication_cue fake_cue
#define publication_look fake_look
#define publication_end fake_end
#include "ingestd/shipment.h"
#include "ingestd/rtmp_conn.c"

struct port {
        uv_loop_t loop;
        struct rtmp_server *server;
        struct shipments *shipments; /* to whose beat publishers are read; NULL: to none */
        struct sockaddr_in address;
        bool closed;
};

static void on_port_closed(void *arg)
{
        *(bool *)arg = true;
}

static inline void port_open(struct port *p, struct shipments *shipments)
{
        static char nobody[] = "";
        static char *proxy_from = nobody;
        int len = sizeof(p->address);
        *p = (struct port){.shipments = shipments};
        uv_loop_init(&p->loop);
        if (shipments)
                shipment_open(shipments, &p->loop, 100, NULL, NULL);
        struct rtmp_server_setup setup = {.limits = RTMP_LIMITS_DEFAULT, .proxy_from = &proxy_from, .closed = on_port_closed,
                                          .arg = &p->closed, .shipments = shipments};
        rtmp_server_open(&p->server, &p->loop, &setup);
        assert_int_equal(rtmp_server_listen(p->server, "127.0.0.1", 0, NULL), 0);
        assert_int_equal(uv_tcp_getsockname(&p->server->listeners[0].tcp, (struct sockaddr *)&p->address, &len), 0);
}

static inline void port_close(struct port *p)
{
        rtmp_server_close(&p->server);
        if (p->shipments) {
                shipment_read(p->shipments, NULL, NULL);
                shipment_close(p->shipments);
        }
        uv_run(&p->loop, UV_RUN_DEFAULT);
        assert_true(p->closed);
        assert_int_equal(uv_loop_close(&p->loop), 0);
}

static inline int port_dial(const struct port *p)
{
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&p->address, sizeof(p->address)), 0);
        return fd;
}

/* All that an encoder says until it publishes, without waiting for answers; it is yet to be sent. */
static inline void say_publish(struct client *script)
{
        *script = (struct client){.chunk_size = 128};
        now_testing = script;
        put_be(&script->out, 3, 1);
        put_fill(&script->out, 0, 2 * RTMP_HANDSHAKE_PART);
        connect_command(script, "live", -1);
        command(script, 0, "createStream", 2, NULL);
        command(script, 1, "publish", 3, "cam");
}

#endif

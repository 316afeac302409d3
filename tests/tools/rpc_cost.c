/* rpc_cost DIR [SECONDS]: what TLS between nodes costs beside plain TCP, in one run: both ends in this process, messages of 64
 * and 300 kB one way with short answers, as PUT sends them, four under way. DIR is one of deploy/certs with originD and transcoderd.
 * Plain and TLS take turns, so that both meet the same machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/cluster/cluster_certs.h"
#include "common/cluster/rpc.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "proto/message.h"

#define UNDER_WAY 4
#define ROUNDS 4

static uv_loop_t loop;

struct run {
        struct node_identity origin, transcoder;
        struct rpc_server *server;
        struct rpc_client *client;
        size_t message_bytes;
        int64_t until_us;
        uint64_t messages;
        unsigned under_way;
};

static void answer(void *arg, struct rpc_request *req)
{
        nng_msg *reply;
        (void)arg;
        if (nng_msg_alloc(&reply, 16) != 0)
                abort();
        memset(nng_msg_body(reply), MSG_PUT_REPLY, 16);
        rpc_reply(req, reply);
}

static void send_one(struct run *r);

static void answered(void *arg, int err, nng_msg *reply)
{
        struct run *r = arg;
        r->under_way--;
        if (err != 0) {
                fprintf(stderr, "rpc_cost: %s\n", err_text(err));
                exit(1);
        }
        nng_msg_free(reply);
        r->messages++;
        if (clock_mono_us() < r->until_us)
                send_one(r);
}

static void send_one(struct run *r)
{
        nng_msg *msg;
        if (nng_msg_alloc(&msg, r->message_bytes) != 0)
                abort();
        memset(nng_msg_body(msg), MSG_PUT, r->message_bytes);
        r->under_way++;
        rpc_call(r->client, msg, 10000, answered, r);
}

static int64_t cpu_us(void)
{
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * US_PER_S + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

/* CPU microseconds a message, of both ends. */
static double measure(struct cluster_certs *origin, struct cluster_certs *transcoder, size_t message_bytes, double seconds)
{
        struct run r = {.message_bytes = message_bytes,
                        .origin = {.id = "o", .role = ROLE_ORIGIND, .cluster_token = "", .certs = origin},
                        .transcoder = {.id = "t", .role = ROLE_TRANSCODERD, .cluster_token = "", .certs = transcoder}};
        char address[32];
        if (rpc_server_open(&r.server, &loop, "127.0.0.1", 0, 16, &r.origin, answer, NULL) != 0)
                exit(1);
        snprintf(address, sizeof(address), "127.0.0.1:%d", rpc_server_port(r.server));
        if (rpc_client_open(&r.client, &loop, address, &r.transcoder, NULL, NULL) != 0)
                exit(1);
        while (rpc_client_info(r.client)->state != PEER_LIVE)
                uv_run(&loop, UV_RUN_ONCE);
        int64_t before = cpu_us();
        r.until_us = clock_mono_us() + (int64_t)(seconds * 1e6);
        for (int i = 0; i < UNDER_WAY; i++)
                send_one(&r);
        while (r.under_way > 0)
                uv_run(&loop, UV_RUN_ONCE);
        double each = (double)(cpu_us() - before) / (double)r.messages;
        rpc_client_close(r.client);
        rpc_server_close(r.server);
        uv_run(&loop, UV_RUN_DEFAULT);
        return each;
}

static struct cluster_certs *open_certs(const char *dir, const char *name)
{
        static const struct cluster_name anybody;
        struct cluster_certs *certs;
        char cert[512], key[512], ca[512], why[512];
        struct cluster_paths paths = {.cert = cert, .key = key, .ca = ca};
        snprintf(cert, sizeof(cert), "%s/%s.crt", dir, name);
        snprintf(key, sizeof(key), "%s/%s.key", dir, name);
        snprintf(ca, sizeof(ca), "%s/ca.crt", dir);
        if (cluster_certs_open(&certs, &paths, &anybody, why, sizeof(why)) == 0)
                return certs;
        fprintf(stderr, "rpc_cost: %s\n", why);
        exit(2);
}

int main(int argc, char **argv)
{
        static const size_t sizes[] = {64000, 300000};
        if (argc < 2) {
                fprintf(stderr, "usage: rpc_cost DIR [SECONDS]; DIR as made by deploy/certs --dir DIR originD transcoderd\n");
                return 2;
        }
        double seconds = argc > 2 ? atof(argv[2]) : 2;
        log_init("rpc_cost", LOG_ERROR);
        uv_loop_init(&loop);
        struct cluster_certs *origin = open_certs(argv[1], "originD"), *transcoder = open_certs(argv[1], "transcoderd");
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                double plain = 0, tls = 0;
                for (int round = 0; round < ROUNDS; round++) {
                        plain += measure(NULL, NULL, sizes[i], seconds) / ROUNDS;
                        tls += measure(origin, transcoder, sizes[i], seconds) / ROUNDS;
                }
                printf("message=%zu plain_us=%.0f tls_us=%.0f ratio=%.2f tls_us_per_mb=%.0f\n", sizes[i], plain, tls, tls / plain,
                       tls / ((double)sizes[i] / 1e6));
        }
        cluster_certs_unref(&origin);
        cluster_certs_unref(&transcoder);
        return uv_loop_close(&loop);
}

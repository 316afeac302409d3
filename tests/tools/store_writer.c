/* store_writer - writes a small session to an origin and says what was acknowledged, with every byte of it.
 *
 *   store_writer --origin HOST:PORT --stream NAME --salt N [--from SEGMENT] --to SEGMENT [--end] [--pace-ms N] [--times]
 *                [--generation N [--join SESSION]] [--grace-s N]
 *   store_writer --origin HOST:PORT --fetch KEY…      at the port of FETCH: "STATUS HEX" for each, what there is of it now
 *
 * Two tracks, v720 and a128, made up: chunk (segment, place) of a track is the same bytes whenever it is made with the same salt.
 * What the origin has already is skipped; a track that it does not have is declared from --from on. A PUT that is refused for
 * now is tried again for a second, as by a transcoder. --generation: what it says it knows; with --join that generation of that session
 * is to be its own, as a faulty or a bad node may say. --grace-s: so long (30) is the session live while nobody
 * writes. Prints "claimed SESSION GENERATION", "stored SESSION TRACK SEGMENT CHUNK HEX"
 * for each chunk that was acknowledged (--times: "put MICROSECONDS", how long it was under way), "ended" when END was; 0: all of it, 3:
 * the connection was lost, 4: refused for good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/clock.h"
#include "common/err.h"
#include "proto/fetch.h"
#include "proto/store.h"
#include "tests/unit/origin_fmp4.h"
#include "tests/unit/usual_grid.h"

#define TRIES 50
#define AGAIN_US 20000
#define FIRST_WAIT_MS 3000

struct track {
        const char *name;
        unsigned chunks; /* of a segment */
        int64_t end_us;  /* what the origin has */
        bool declared;
};

static nng_socket sock;
static struct claim_reply claimed;
static struct track tracks[] = {{"v720", CHUNKS_PER_SEGMENT, 0, false}, {"a128", 1, 0, false}};
static uint32_t salt;
static unsigned pace_ms; /* between chunks */
static unsigned grace_s = 30;
static bool times;
static uint32_t generation; /* that it claims to know */
static const char *join_session;

static void lost(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
        (void)pipe;
        (void)event;
        (void)arg;
        _exit(3);
}

static void give_up(const char *what, int err)
{
        fprintf(stderr, "store_writer: %s: %s\n", what, err_text(err));
        exit(4);
}

static nng_msg *ask(nng_msg *msg, struct reader *r)
{
        if (nng_sendmsg(sock, msg, 0) || nng_recvmsg(sock, &msg, 0))
                _exit(3);
        message_open(r, msg);
        return msg;
}

static int put_once(const struct put *p)
{
        struct put_reply reply;
        struct reader r;
        nng_msg *msg = ask(message_new(MSG_PUT, put_encode, p), &r);
        int rc = put_reply_decode(&r, &reply) < 0 ? ERR_PROTO : reply.status;
        nng_msg_free(msg);
        return rc;
}

static void put(struct put *p, const struct track *t, const struct buf *bytes)
{
        int rc = ERR_FULL;
        strcpy(p->session, claimed.session);
        strcpy(p->track, t->name);
        p->generation = claimed.generation;
        p->bytes = bytes->data;
        p->len = (uint32_t)bytes->len;
        for (int i = 0; i < TRIES && rc; i++) {
                rc = put_once(p);
                if (rc == ERR_FENCED || rc == ERR_CLOSED || rc == ERR_NOT_FOUND || rc == ERR_CONFLICT || rc == ERR_ORDER)
                        break;
                if (rc)
                        usleep(AGAIN_US);
        }
        if (rc)
                give_up(t->name, rc);
}

static void declare(struct track *t, unsigned segment)
{
        struct put p = {.flags = PUT_INIT, .segment = segment, .start_us = segment * (int64_t)SEGMENT_US, .bandwidth = 1000000};
        struct buf *init = t->chunks > 1 ? fmp4_video_init() : fmp4_audio_init();
        if (!t->declared)
                put(&p, t, init);
        t->declared = true;
        buf_unref(&init);
}

static void print_hex(const uint8_t *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                printf("%02x", bytes[i]);
}

static void put_chunk(struct track *t, unsigned n, unsigned k)
{
        int64_t start_us = n * (int64_t)SEGMENT_US + k * (int64_t)CHUNK_US;
        if (start_us < t->end_us)
                return;
        struct buf *b = t->chunks > 1 ? fmp4_video_chunk(n, k, 40 + salt) : fmp4_chunk(n * UINT64_C(48000), 48, 1000, 20 + salt);
        struct put p = {.segment = n, .chunk = (uint8_t)k, .start_us = start_us, .duration_us = SEGMENT_US / t->chunks,
                        .flags = k + 1 == t->chunks ? PUT_LAST : 0};
        usleep(pace_ms * 1000);
        int64_t began_us = clock_mono_us();
        put(&p, t, b);
        if (times) {
                printf("put %lld\n", (long long)(clock_mono_us() - began_us));
                buf_unref(&b);
                return;
        }
        printf("stored %s %s %u %u ", claimed.session, t->name, n, k);
        print_hex(b->data, b->len);
        printf("\n");
        fflush(stdout);
        buf_unref(&b);
}

static int claim_once(const char *stream)
{
        struct claim c = {.node = "store-writer", .grace_ms = grace_s * 1000, .epoch_us = clock_wall_us() / 1000 * 1000};
        struct reader r;
        snprintf(c.stream, sizeof(c.stream), "%s", stream);
        session_id_make(c.session, c.epoch_us);
        c.generation = generation;
        if (join_session) {
                c.flags = CLAIM_JOIN;
                snprintf(c.session, sizeof(c.session), "%s", join_session);
        }
        nng_msg *msg = ask(message_new(MSG_CLAIM, claim_encode, &c), &r);
        int rc = claim_reply_decode(&r, &claimed) < 0 ? ERR_PROTO : claimed.status;
        nng_msg_free(msg);
        return rc;
}

static void claim_session(const char *stream)
{
        int rc = ERR_FULL;
        for (int i = 0; i < TRIES && rc; i++) {
                rc = claim_once(stream);
                if (rc)
                        usleep(AGAIN_US);
        }
        if (rc)
                give_up("claim", rc);
        printf("claimed %s %u\n", claimed.session, claimed.generation);
        for (size_t i = 0; i < 2; i++)
                for (size_t j = 0; j < claimed.track_count; j++)
                        if (strcmp(claimed.tracks[j].name, tracks[i].name) == 0) {
                                tracks[i].declared = true;
                                tracks[i].end_us = claimed.tracks[j].end_us;
                        }
}

static void end(unsigned to)
{
        struct end m = {.generation = claimed.generation, .end_us = to * (int64_t)SEGMENT_US};
        struct reader r;
        strcpy(m.session, claimed.session);
        nng_msg_free(ask(message_new(MSG_END, end_encode, &m), &r));
        printf("ended\n");
}

/* Waits for the beginning, which may have to be loaded, not for what is yet to come. */
static void fetch_key(const char *key)
{
        struct fetch m = {.wait_ms = FIRST_WAIT_MS};
        struct fetch_reply reply = {.flags = 0};
        snprintf(m.key, sizeof(m.key), "%s", key);
        for (bool more = true; more; m.wait_ms = 0) {
                struct reader r;
                nng_msg *msg = ask(message_new(MSG_FETCH, fetch_encode, &m), &r);
                int rc = fetch_reply_decode(&r, &reply) < 0 ? ERR_PROTO : reply.status;
                more = !rc && !(reply.flags & FETCH_COMPLETE);
                if (m.offset == 0)
                        printf("%d ", rc);
                if (!rc)
                        print_hex(reply.bytes, reply.len);
                m.offset += reply.len;
                nng_msg_free(msg);
        }
        printf("\n");
        fflush(stdout);
}

int main(int argc, char **argv)
{
        const char *origin = "127.0.0.1:9301", *stream = "cam";
        unsigned from = 0, to = 1;
        bool end_it = false;
        int fetch_from = argc;
        char url[128];
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "";
                if (strcmp(argv[i], "--end") == 0) {
                        end_it = true;
                        continue;
                }
                if (strcmp(argv[i], "--times") == 0) {
                        times = true;
                        continue;
                }
                if (strcmp(argv[i], "--fetch") == 0) {
                        fetch_from = i + 1;
                        break;
                }
                if (strcmp(argv[i], "--origin") == 0)
                        origin = value;
                else if (strcmp(argv[i], "--stream") == 0)
                        stream = value;
                else if (strcmp(argv[i], "--salt") == 0)
                        salt = (uint32_t)atoi(value);
                else if (strcmp(argv[i], "--from") == 0)
                        from = (unsigned)atoi(value);
                else if (strcmp(argv[i], "--generation") == 0)
                        generation = (uint32_t)strtoul(value, NULL, 10);
                else if (strcmp(argv[i], "--join") == 0)
                        join_session = value;
                else if (strcmp(argv[i], "--pace-ms") == 0)
                        pace_ms = (unsigned)atoi(value);
                else if (strcmp(argv[i], "--grace-s") == 0)
                        grace_s = (unsigned)atoi(value);
                else if (strcmp(argv[i], "--to") == 0)
                        to = (unsigned)atoi(value);
                else
                        give_up(argv[i], ERR_CONFIG);
                i++;
        }
        snprintf(url, sizeof(url), "tcp://%s", origin);
        if (nng_req0_open(&sock) || nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, 5000) ||
            nng_socket_set_ms(sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) ||
            nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, lost, NULL) || nng_dial(sock, url, NULL, 0))
                return 3;
        for (int i = fetch_from; i < argc; i++)
                fetch_key(argv[i]);
        if (fetch_from < argc)
                _exit(0);
        claim_session(stream);
        for (unsigned n = from; n < to; n++)
                for (size_t i = 0; i < 2; i++)
                        for (unsigned k = 0; k < tracks[i].chunks; k++) {
                                declare(&tracks[i], from);
                                put_chunk(&tracks[i], n, k);
                        }
        if (end_it)
                end(to);
        fflush(stdout);
        _exit(0); /* lost() would take the end for one */
}

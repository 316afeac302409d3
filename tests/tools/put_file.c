/* put_file - pushes fragmented MP4 files to an origin as a transcoder would: CLAIM, PUT chunk by chunk, END.
 *
 *   put_file [--origin 127.0.0.1:9301] [--stream NAME] [--pace 0|1] [--no-end] [--title T] [--late TRACK=SECONDS]…
 *            [--until SECONDS] [--node NAME] [--join SESSION,EPOCH_US,GENERATION] [--gap FROM,TO] TRACK=FILE…
 *
 * Every file is one track, its fragments the chunks (ffmpeg: -movflags +empty_moov+default_base_moof+cmaf+skip_trailer
 * -frag_duration 200000 -use_editlist 0). What the origin has already of the stream's live session is skipped, so the tool
 * may be killed and started again. --pace 1 sends each chunk when its media time has passed; --until ends it there, before
 * what the files have more. --join is CLAIM_JOIN of a session that exists at another origin. --gap leaves out what begins
 * in those seconds, and waits there for a line on standard input. Prints the session's id, its epoch, its generation. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/box.h"
#include "proto/store.h"

struct source {
        const char *name;
        uint8_t *data;
        size_t len, at;
        struct init_info init;
        size_t init_bytes;
        int64_t late_us;
        bool declared;
        struct chunk_info chunk; /* the next one */
        size_t chunk_bytes;
        int64_t skip_until_us;
};

static nng_socket sock;
static struct claim claim_message = {.stream = "test", .node = "put-file", .grace_ms = 30000};
static struct claim_reply claimed;
static int pace = 1, end_it = 1;
static int64_t until_us = INT64_MAX;
static int64_t gap_from_us = INT64_MAX, gap_to_us;
static atomic_bool finished;

static void die(const char *what, const char *why)
{
        fprintf(stderr, "put_file: %s: %s\n", what, why);
        exit(1);
}

/* nng would dial again and wait: an origin that leaves is to be seen at once. */
static void connection_lost(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
        (void)pipe;
        (void)event;
        (void)arg;
        if (finished)
                return;
        fprintf(stderr, "put_file: origin: connection closed\n");
        _exit(1);
}

static nng_msg *ask(nng_msg *msg, uint8_t want, struct reader *r)
{
        int rv = nng_sendmsg(sock, msg, 0);
        if (rv == 0)
                rv = nng_recvmsg(sock, &msg, 0);
        if (rv)
                die("origin", nng_strerror(rv));
        if (message_open(r, msg) != want)
                die("origin", "unexpected answer");
        return msg;
}

static void read_file(struct source *s, const char *path)
{
        int fd = open(path, O_RDONLY);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                die(path, "cannot be read");
        s->data = mem_alloc((size_t)st.st_size);
        s->len = (size_t)st.st_size;
        if (read(fd, s->data, s->len) != st.st_size)
                die(path, "short read");
        close(fd);
}

/* Bytes up to and with the next box of that type; 0: the file ends before. */
static size_t through(const struct source *s, uint32_t type)
{
        struct reader r;
        struct box b;
        reader_init(&r, s->data + s->at, s->len - s->at);
        while (box_next(&r, &b) > 0)
                if (b.type == type)
                        return (size_t)(r.p - (s->data + s->at));
        return 0;
}

static bool next_chunk(struct source *s)
{
        s->chunk_bytes = through(s, BOX_TYPE('m', 'd', 'a', 't'));
        if (!s->chunk_bytes)
                return false;
        if (box_chunk_parse(s->data + s->at, s->chunk_bytes, &s->init, &s->chunk) < 0)
                die(s->name, "not a chunk");
        return true;
}

static int64_t start_us(const struct source *s)
{
        return box_ticks_to_us(s->chunk.start_ticks, s->init.timescale);
}

static int64_t end_us(const struct source *s)
{
        return box_ticks_to_us(s->chunk.start_ticks + s->chunk.duration_ticks, s->init.timescale);
}

static void put(struct source *s, struct put *p)
{
        struct put_reply reply;
        struct reader r;
        strcpy(p->session, claimed.session);
        strcpy(p->track, s->name);
        p->generation = claimed.generation;
        nng_msg *msg = ask(message_new(MSG_PUT, put_encode, p), MSG_PUT_REPLY, &r);
        if (put_reply_decode(&r, &reply) < 0)
                die(s->name, "malformed answer");
        nng_msg_free(msg);
        if (reply.status)
                die(s->name, err_text(reply.status));
}

static void declare(struct source *s)
{
        struct put p = {.flags = PUT_INIT, .segment = (uint32_t)(s->late_us / SEGMENT_US), .start_us = s->late_us,
                        .bandwidth = s->init.kind == TRACK_VIDEO ? 1500000 : 128000, .bytes = s->data,
                        .len = (uint32_t)s->init_bytes};
        put(s, &p);
        s->declared = true;
}

static void put_chunk(struct source *s)
{
        uint64_t ticks = s->chunk.start_ticks, timescale = s->init.timescale;
        struct put p = {.segment = (uint32_t)(ticks / timescale), .chunk = (uint8_t)(ticks * 5 / timescale % 5),
                        .start_us = start_us(s), .duration_us = end_us(s) - start_us(s), .bytes = s->data + s->at,
                        .len = (uint32_t)s->chunk_bytes};
        uint64_t end = ticks + s->chunk.duration_ticks;
        if (end / timescale > p.segment)
                p.flags |= PUT_LAST;
        put(s, &p);
}

static void wait_until(int64_t wall_us)
{
        int64_t left = wall_us - clock_wall_us();
        if (pace && left > 0)
                usleep((unsigned)left);
}

static void open_source(struct source *s, const char *path)
{
        read_file(s, path);
        s->init_bytes = through(s, BOX_TYPE('m', 'o', 'o', 'v'));
        if (!s->init_bytes || box_init_parse(s->data, s->init_bytes, &s->init) < 0)
                die(path, "no usable init segment");
        s->at = s->init_bytes;
        for (int i = 0; i < claimed.track_count; i++)
                if (strcmp(claimed.tracks[i].name, s->name) == 0)
                        s->skip_until_us = claimed.tracks[i].end_us;
        while (next_chunk(s) && (start_us(s) < s->late_us || end_us(s) <= s->skip_until_us + 50))
                s->at += s->chunk_bytes;
}

/* Waits at the first chunk of the gap. true: this one is left out. */
static bool in_gap(const struct source *s)
{
        static bool waited;
        if (start_us(s) < gap_from_us || start_us(s) >= gap_to_us)
                return false;
        if (!waited) {
                fprintf(stderr, "put_file: at the gap\n");
                (void)getchar();
        }
        waited = true;
        return true;
}

static void run(struct source *sources, size_t count)
{
        int64_t end = 0;
        for (;;) {
                struct source *first = NULL;
                for (size_t i = 0; i < count; i++)
                        if (sources[i].chunk_bytes && (!first || end_us(&sources[i]) < end_us(first)))
                                first = &sources[i];
                if (!first || end_us(first) > until_us)
                        break;
                wait_until(claimed.epoch_us + end_us(first));
                if (!first->declared)
                        declare(first);
                if (!in_gap(first))
                        put_chunk(first);
                end = end_us(first) > end ? end_us(first) : end;
                first->at += first->chunk_bytes;
                next_chunk(first);
        }
        if (!end_it)
                return;
        struct end m = {.generation = claimed.generation, .end_us = end};
        struct reader r;
        strcpy(m.session, claimed.session);
        nng_msg_free(ask(message_new(MSG_END, end_encode, &m), MSG_END_REPLY, &r));
}

static void claim_session(const char *origin)
{
        char url[128];
        struct reader r;
        int rv;
        snprintf(url, sizeof(url), "tcp://%s", origin);
        if ((rv = nng_req0_open(&sock)) || (rv = nng_socket_set_ms(sock, NNG_OPT_RECVTIMEO, 3000)) ||
            (rv = nng_socket_set_ms(sock, NNG_OPT_SENDTIMEO, 3000)) ||
            (rv = nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, connection_lost, NULL)) ||
            (rv = nng_dial(sock, url, NULL, 0)))
                die(origin, nng_strerror(rv));
        if (!(claim_message.flags & CLAIM_JOIN)) {
                claim_message.epoch_us = clock_wall_us() / 1000 * 1000;
                session_id_make(claim_message.session, claim_message.epoch_us);
        }
        nng_msg *msg = ask(message_new(MSG_CLAIM, claim_encode, &claim_message), MSG_CLAIM_REPLY, &r);
        if (claim_reply_decode(&r, &claimed) < 0 || claimed.status)
                die("claim", err_text(claimed.status));
        nng_msg_free(msg);
        printf("%s %lld %u\n", claimed.session, (long long)claimed.epoch_us, claimed.generation);
        fflush(stdout);
}

static void set_join(const char *arg)
{
        long long epoch_us;
        if (sscanf(arg, "%40[^,],%lld,%u", claim_message.session, &epoch_us, &claim_message.generation) != 3)
                die(arg, "is not SESSION,EPOCH_US,GENERATION");
        claim_message.epoch_us = epoch_us;
        claim_message.flags |= CLAIM_JOIN;
}

static void set_gap(const char *arg)
{
        double from, to;
        if (sscanf(arg, "%lf,%lf", &from, &to) != 2)
                die(arg, "is not FROM,TO");
        gap_from_us = (int64_t)(from * US_PER_S);
        gap_to_us = (int64_t)(to * US_PER_S);
}

static void set_late(struct source *sources, size_t count, char *arg)
{
        char *equals = strchr(arg, '=');
        for (size_t i = 0; equals && i < count; i++)
                if (strlen(sources[i].name) == (size_t)(equals - arg) && strncmp(sources[i].name, arg, (size_t)(equals - arg)) == 0)
                        sources[i].late_us = atoll(equals + 1) * US_PER_S;
}

int main(int argc, char **argv)
{
        struct source sources[SESSION_TRACKS_MAX] = {0};
        const char *origin = "127.0.0.1:9301", *paths[SESSION_TRACKS_MAX];
        char *late[SESSION_TRACKS_MAX];
        size_t count = 0, late_count = 0;
        for (int i = 1; i < argc; i++) {
                bool more = i + 1 < argc;
                char *equals = strchr(argv[i], '=');
                if (strcmp(argv[i], "--no-end") == 0)
                        end_it = 0;
                else if (strcmp(argv[i], "--origin") == 0 && more)
                        origin = argv[++i];
                else if (strcmp(argv[i], "--stream") == 0 && more)
                        snprintf(claim_message.stream, sizeof(claim_message.stream), "%s", argv[++i]);
                else if (strcmp(argv[i], "--title") == 0 && more)
                        snprintf(claim_message.title, sizeof(claim_message.title), "%s", argv[++i]);
                else if (strcmp(argv[i], "--node") == 0 && more)
                        snprintf(claim_message.node, sizeof(claim_message.node), "%s", argv[++i]);
                else if (strcmp(argv[i], "--join") == 0 && more)
                        set_join(argv[++i]);
                else if (strcmp(argv[i], "--gap") == 0 && more)
                        set_gap(argv[++i]);
                else if (strcmp(argv[i], "--until") == 0 && more)
                        until_us = (int64_t)(atof(argv[++i]) * US_PER_S);
                else if (strcmp(argv[i], "--pace") == 0 && more)
                        pace = atoi(argv[++i]);
                else if (strcmp(argv[i], "--late") == 0 && more && late_count < SESSION_TRACKS_MAX)
                        late[late_count++] = argv[++i];
                else if (equals && count < SESSION_TRACKS_MAX) {
                        *equals = '\0';
                        sources[count].name = argv[i];
                        paths[count++] = equals + 1;
                } else
                        die(argv[i], "not understood");
        }
        if (!count)
                die("usage", "put_file [options] TRACK=FILE…");
        claim_session(origin);
        for (size_t i = 0; i < late_count; i++)
                set_late(sources, count, late[i]);
        for (size_t i = 0; i < count; i++)
                open_source(&sources[i], paths[i]);
        run(sources, count);
        finished = true;
        nng_close(sock);
        for (size_t i = 0; i < count; i++)
                free(sources[i].data);
        return 0;
}

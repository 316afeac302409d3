/* feed_file - a proxy for tests of a transcoder: OPENs a stream, feeds it a media file in real time, CLOSEs it.
 *
 *   feed_file [--transcoder=127.0.0.1:9201] [--stream=NAME] [--seconds=N] [--from=N] [--close=stopped|lost|none]
 *             [--garbage=N] INPUT
 *
 * INPUT is MP4 or FLV with H.264 and AAC. --from begins with the keyframe at or before that second of it; every N-th
 * frame is garbage with --garbage. On a session that goes on, media time goes on with the wall clock. Prints one JSON
 * line: {"status": 0, "session": "…", "generation": 1, "frames": …, "stored_us": …, "draining": …}; status
 * is that of the last answer. */
#include <inttypes.h>
#include <libavformat/avformat.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/clock.h"
#include "common/cluster/rpc.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "proto/media.h"

#define BEAT_MS 10
#define EMPTY_MS 500
#define CALL_MS 3000
#define GIVE_UP_MS 10000

static struct {
        uv_loop_t loop;
        uv_timer_t beat;
        struct rpc_client *rpc;
        struct node_identity self;
        const char *transcoder, *stream, *input;
        AVFormatContext *in;
        int kind_of[16], seconds, from, garbage;
        uint8_t codecs[TRACK_KINDS], reason;
        int64_t zero_us, offset_us; /* the file's first time; what media time it becomes */
        struct frame next;          /* bytes NULL: the file is at its end */
        struct open_reply opened;
        struct media_reply last;
        uint64_t seq;
        bool under_way, open, done;
        int64_t begun_us, sent_us;
        int status;
} t = {.transcoder = "127.0.0.1:9201", .stream = "test", .reason = CLOSE_STOPPED, .zero_us = INT64_MIN,
       .self = {.id = "feed-file", .role = ROLE_INGESTD, .cluster_token = ""}};

static void die(const char *what)
{
        fprintf(stderr, "feed_file: %s\n", what);
        exit(2);
}

/* ---- the file ------------------------------------------------------------------------------------------------------- */

static void open_input(void)
{
        if (avformat_open_input(&t.in, t.input, NULL, NULL) < 0 || avformat_find_stream_info(t.in, NULL) < 0)
                die("cannot read INPUT");
        for (unsigned i = 0; i < 16; i++)
                t.kind_of[i] = -1;
        for (unsigned i = 0; i < t.in->nb_streams && i < 16; i++) {
                const AVCodecParameters *par = t.in->streams[i]->codecpar;
                int kind = par->codec_id == AV_CODEC_ID_H264  ? TRACK_VIDEO
                           : par->codec_id == AV_CODEC_ID_AAC ? TRACK_AUDIO
                                                              : -1;
                if (kind < 0 || t.codecs[kind] || par->extradata_size <= 0 || par->extradata_size > CONFIG_RECORD_MAX)
                        continue;
                t.kind_of[i] = kind;
                t.codecs[kind] = kind == TRACK_VIDEO ? CODEC_H264 : CODEC_AAC;
        }
        if (t.from)
                av_seek_frame(t.in, -1, t.from * US_PER_S, AVSEEK_FLAG_BACKWARD);
}

static struct frame frame_of(const AVPacket *pkt, int kind)
{
        static const AVRational us = {1, 1000000};
        AVRational base = t.in->streams[pkt->stream_index]->time_base;
        int64_t dts_us = av_rescale_q(pkt->dts, base, us), pts_us = av_rescale_q(pkt->pts, base, us);
        if (t.zero_us == INT64_MIN)
                t.zero_us = pts_us;
        struct frame f = {.track = (uint8_t)kind, .codec = t.codecs[kind], .dts_us = dts_us - t.zero_us + t.offset_us,
                          .cts_us = (int32_t)(pts_us - dts_us), .bytes = buf_copy(pkt->data, (size_t)pkt->size)};
        f.flags = kind == TRACK_AUDIO || (pkt->flags & AV_PKT_FLAG_KEY) ? FRAME_KEY : 0;
        return f;
}

static void read_next(void)
{
        AVPacket *pkt = av_packet_alloc();
        t.next.bytes = NULL;
        while (!t.next.bytes && av_read_frame(t.in, pkt) >= 0) {
                int kind = pkt->stream_index < 16 ? t.kind_of[pkt->stream_index] : -1;
                if (kind >= 0)
                        t.next = frame_of(pkt, kind);
                av_packet_unref(pkt);
        }
        av_packet_free(&pkt);
        if (t.next.bytes && t.seconds && t.next.dts_us - t.offset_us >= t.seconds * US_PER_S)
                buf_unref(&t.next.bytes);
}

/* ---- the transcoder --------------------------------------------------------------------------------------------------- */

static void finish(int status)
{
        t.status = status;
        t.done = true;
        uv_stop(&t.loop);
}

static void call(uint8_t type, message_encode *encode, const void *m, rpc_done *done)
{
        t.under_way = true;
        t.sent_us = clock_mono_us();
        rpc_call(t.rpc, message_new(type, encode, m), CALL_MS, done, NULL);
}

/* 0, or finished. */
static int read_reply(int err, nng_msg *reply, uint8_t type, struct reader *r)
{
        t.under_way = false;
        if (!err && message_open(r, reply) != type)
                err = ERR_PROTO;
        if (err)
                finish(err);
        return err;
}

static void on_closed(void *arg, int err, nng_msg *reply)
{
        struct reader r;
        (void)arg;
        if (!read_reply(err, reply, MSG_CLOSE_REPLY, &r))
                finish(0);
        nng_msg_free(reply);
}

static void on_media(void *arg, int err, nng_msg *reply)
{
        struct reader r;
        (void)arg;
        if (!read_reply(err, reply, MSG_MEDIA_REPLY, &r) && media_reply_decode(&r, &t.last) == 0 && t.last.status)
                finish(t.last.status);
        nng_msg_free(reply);
}

static void send_frames(struct frame *frames, unsigned count)
{
        struct media m = {.handle = t.opened.handle, .first_seq = t.seq, .count = (uint16_t)count, .frames = frames};
        t.seq += count;
        call(MSG_MEDIA, media_encode, &m, on_media);
        for (unsigned i = 0; i < count; i++)
                buf_unref(&frames[i].bytes);
}

static void spoil(const struct frame *f, uint64_t number)
{
        if (t.garbage && number % (unsigned)t.garbage == 1)
                for (size_t i = 0; i < f->bytes->len; i++)
                        f->bytes->data[i] = (uint8_t)rand();
}

static void on_opened(void *arg, int err, nng_msg *reply)
{
        struct reader r;
        (void)arg;
        err = read_reply(err, reply, MSG_OPEN_REPLY, &r);
        if (!err && open_reply_decode(&r, &t.opened) == 0 && t.opened.status)
                finish(t.opened.status);
        nng_msg_free(reply);
        if (t.done)
                return;
        t.open = true;
        t.offset_us = clock_wall_us() - t.opened.epoch_us;
        t.last.credit = BATCH_FRAMES_MAX;
        read_next();
}

static void send_open(void)
{
        struct open m = {.epoch_us = clock_wall_us() / 1000 * 1000, .publisher = "feed_file"};
        snprintf(m.stream, sizeof(m.stream), "%s", t.stream);
        for (int i = 0; i < 16; i++) {
                int kind = t.kind_of[i];
                if (kind < 0)
                        continue;
                const AVCodecParameters *par = t.in->streams[i]->codecpar;
                m.codecs[kind] = t.codecs[kind];
                m.config[kind].data = par->extradata;
                m.config[kind].len = (uint16_t)par->extradata_size;
        }
        call(MSG_OPEN, open_encode, &m, on_opened);
}

static void send_what_is_due(void)
{
        struct frame frames[BATCH_FRAMES_MAX];
        unsigned count = 0;
        int64_t now_us = clock_wall_us() - t.opened.epoch_us;
        while (t.next.bytes && t.next.dts_us <= now_us && count < t.last.credit && count < BATCH_FRAMES_MAX) {
                spoil(&t.next, t.seq + count);
                frames[count++] = t.next;
                read_next();
        }
        if (count || clock_mono_us() - t.sent_us > EMPTY_MS * US_PER_MS)
                send_frames(frames, count);
}

static void on_beat(uv_timer_t *timer)
{
        (void)timer;
        if (t.under_way || t.done)
                return;
        if (!t.open && rpc_client_info(t.rpc)->state == PEER_LIVE)
                send_open();
        else if (!t.open && clock_mono_us() - t.begun_us > GIVE_UP_MS * US_PER_MS)
                finish(ERR_CLOSED);
        else if (t.open && t.next.bytes)
                send_what_is_due();
        else if (t.open && t.reason)
                call(MSG_CLOSE, close_stream_encode,
                     &(struct close_stream){.handle = t.opened.handle, .reason = t.reason}, on_closed);
        else if (t.open)
                finish(0);
}

static bool parse(char *arg)
{
        if (strncmp(arg, "--transcoder=", 13) == 0)
                t.transcoder = arg + 13;
        else if (strncmp(arg, "--stream=", 9) == 0)
                t.stream = arg + 9;
        else if (strcmp(arg, "--close=lost") == 0)
                t.reason = CLOSE_LOST;
        else if (strcmp(arg, "--close=none") == 0)
                t.reason = 0;
        else if (strcmp(arg, "--close=stopped") == 0)
                t.reason = CLOSE_STOPPED;
        else if (arg[0] != '-' && !t.input)
                t.input = arg;
        else
                return sscanf(arg, "--seconds=%d", &t.seconds) == 1 || sscanf(arg, "--from=%d", &t.from) == 1 ||
                       sscanf(arg, "--garbage=%d", &t.garbage) == 1;
        return true;
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (!parse(argv[i]))
                        die("unknown option");
        if (!t.input)
                die("usage: feed_file [--transcoder=HOST:PORT] [--stream=NAME] [--seconds=N] [--from=N] "
                    "[--close=stopped|lost|none] [--garbage=N] INPUT");
        log_init(t.self.id, LOG_WARN);
        open_input();
        uv_loop_init(&t.loop);
        t.self.incarnation_us = clock_wall_us();
        t.begun_us = clock_mono_us();
        if (rpc_client_open(&t.rpc, &t.loop, t.transcoder, &t.self, NULL, NULL) != 0)
                die("cannot dial");
        uv_timer_init(&t.loop, &t.beat);
        uv_timer_start(&t.beat, on_beat, BEAT_MS, BEAT_MS);
        uv_run(&t.loop, UV_RUN_DEFAULT);
        printf("{\"status\": %d, \"why\": \"%s\", \"session\": \"%s\", \"generation\": %u"
               ", \"frames\": %" PRIu64 ", \"stored_us\": %" PRId64 ", \"draining\": %s}\n", t.status, err_text(t.status),
               t.opened.session, t.opened.generation, t.seq, t.last.stored_us,
               t.last.draining ? "true" : "false");
        uv_close((uv_handle_t *)&t.beat, NULL);
        rpc_client_close(t.rpc);
        uv_run(&t.loop, UV_RUN_DEFAULT);
        uv_loop_close(&t.loop);
        buf_unref(&t.next.bytes);
        avformat_close_input(&t.in);
        return t.status ? 1 : 0;
}

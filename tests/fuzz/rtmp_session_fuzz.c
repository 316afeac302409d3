/* A connection after its handshake, fed in pieces: 16-bit lengths, whose highest bit lets ten seconds pass before. The
 * publication refuses from inside a frame when the first byte is odd; whether it may publish is decided at once, or after the
 * next piece: yes, or no. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/daemon/log.h"
#include "ingestd/rtmp_handshake.h"
#include "ingestd/amf_cue.h"
#include "ingestd/rtmp_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int publications, closes; /* of the connection under test */
static bool refuses;
static const struct publication_events *events;
static void *events_arg;

static void on_write(void *arg, const void *data, size_t len)
{
        (void)arg, (void)data;
        assert(len > 0);
}

static void on_close(void *arg, enum rtmp_close_reason reason, bool linger)
{
        (void)arg, (void)linger;
        assert(reason > RTMP_CLOSE_NONE && reason < RTMP_CLOSE_REASONS);
        assert(++closes == 1);
}

static const struct admission_events *admission_events;
static void *admission_arg;
static int decision; /* 0: at once, 1: later yes, 2: later no */
static int cases;    /* open */

static void on_pause(void *arg, bool paused)
{
        (void)arg, (void)paused;
}

static enum admission_verdict on_admit(struct admission_case **out, struct admission *a, const struct publish_request *request,
                                       const struct admission_events *ev, void *arg, char *text, size_t text_cap)
{
        (void)a, (void)text, (void)text_cap;
        assert(stream_id_valid(request->stream) && ++cases == 1);
        admission_events = ev;
        admission_arg = arg;
        *out = (struct admission_case *)&cases;
        return decision ? ADMISSION_PENDING : ADMISSION_ALLOWED;
}

static void on_dismiss(struct admission_case **c)
{
        if (*c)
                assert(--cases == 0);
        *c = NULL;
}

static void decide(void)
{
        if (cases && decision == 1)
                admission_events->allowed(admission_arg);
        else if (cases && decision == 2)
                admission_events->refused(admission_arg, "no");
}

static int on_begin(struct publication **out, struct publications *in, const struct publish_request *request,
                    const struct publication_events *ev, void *arg, char *text, size_t text_cap)
{
        (void)in, (void)text, (void)text_cap;
        assert(stream_id_valid(request->stream));
        events = ev;
        events_arg = arg;
        *out = (struct publication *)&publications;
        assert(++publications == 1);
        return 0;
}

static void on_frame(struct publication *p, const struct flv_frame *f)
{
        assert(p && publications == 1 && f->bytes->len > 0);
        if (refuses)
                events->refuse(events_arg, RTMP_CLOSE_UPSTREAM, "NetStream.Publish.Rejected", "refused");
}

static void on_metadata(struct publication *p, const struct flv_metadata *m)
{
        assert(p && publications == 1 && strlen(m->title) < sizeof(m->title));
}

static void on_end(struct publication *p, enum close_reason why)
{
        (void)why;
        assert(p && --publications == 0);
}

static void on_look(struct publication *p)
{
        (void)p;
}

static bool is_behind;

static void on_behind(void *arg)
{
        (void)arg;
        assert(!is_behind);
        is_behind = true;
}

static void turn(struct rtmp_session *s, int64_t now_us)
{
        rtmp_session_turn(s);
        if (is_behind) {
                is_behind = false;
                rtmp_session_go_on(s, now_us);
        }
}

static bool on_unread(void *arg)
{
        (void)arg;
        return refuses;
}

static void on_cue(struct publication *p, const uint8_t *message, size_t len, uint32_t timestamp_ms)
{
        struct amf_cue said;
        assert(p && amf_cue_is(message, len));
        amf_cue_read(&said, message, len, timestamp_ms);
}

static const struct rtmp_session_ops ops = {.write = on_write, .close = on_close, .pause = on_pause, .behind = on_behind,
                                            .unread = on_unread, .admit = on_admit, .dismiss = on_dismiss, .begin = on_begin,
                                            .frame = on_frame, .metadata = on_metadata, .cue = on_cue, .look = on_look,
                                            .end = on_end};

static void feed_pieces(struct rtmp_session *s, struct reader *r)
{
        int64_t now_us = 0;
        while (reader_left(r) >= 2) {
                uint16_t head = reader_u16(r);
                size_t len = head & 0x7fff;
                if (len > reader_left(r))
                        len = reader_left(r);
                if (head & 0x8000)
                        rtmp_session_tick(s, now_us += 10000000);
                const uint8_t *piece = reader_bytes(r, len);
                turn(s, now_us);
                if (len)
                        rtmp_session_feed(s, piece, len, now_us);
                decide();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint8_t hello[1 + 2 * RTMP_HANDSHAKE_PART] = {RTMP_VERSION};
        static const struct rtmp_limits limits = {.connections = 1, .chunk_streams = 8, .message_bytes = 1u << 20,
                                                  .partial_bytes = 2u << 20, .publish_us = 10000000,
                                                  .media_us = 20000000};
        if (size < 1)
                return 0;
        log_set_level(LOG_ERROR);
        publications = closes = cases = 0;
        refuses = data[0] & 1;
        is_behind = false;
        decision = (data[0] >> 1) % 3;
        struct rtmp_session *s = rtmp_session_new(
                &(struct rtmp_session_setup){.ops = &ops, .limits = &limits, .id = 1, .address = "fuzz"});
        rtmp_session_feed(s, hello, sizeof(hello), 0);
        struct reader r;
        reader_init(&r, data + 1, size - 1);
        feed_pieces(s, &r);
        for (int i = 0; i < 10; i++)
                turn(s, 0);
        rtmp_session_ask_reconnect(s);
        rtmp_session_close(s, RTMP_CLOSE_PEER);
        assert(closes == 1);
        rtmp_session_end(s);
        assert(publications == 0 && cases == 0);
        rtmp_session_free(&s);
        return 0;
}

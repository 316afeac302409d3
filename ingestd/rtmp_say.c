#include "ingestd/rtmp_say.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/daemon/log.h"
#include "common/mem.h"

#define ACK_QUIET_US 1000000

void rtmp_say_message(struct rtmp_session *s, uint8_t csid, uint8_t type, uint32_t stream_id, const void *data,
                         size_t len)
{
        size_t need = s->out.len + len + 32 + len / s->out_chunk_size;
        if (need > s->out.cap) {
                s->out.cap = need + 1024;
                s->out.data = mem_resize(s->out.data, s->out.cap);
        }
        rtmp_chunk_write(&s->out, csid, type, stream_id, data, len, s->out_chunk_size);
        assert(writer_ok(&s->out));
}

void rtmp_say_flush(struct rtmp_session *s)
{
        if (s->out.len)
                s->setup.ops->write(s->setup.arg, s->out.data, s->out.len);
        free(s->out.data);
        s->out = (struct writer){0};
}

void rtmp_say_u32(struct rtmp_session *s, uint8_t type, uint32_t v)
{
        const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        rtmp_say_message(s, CSID_CONTROL, type, 0, b, sizeof(b));
}

struct writer *rtmp_say_begin(struct rtmp_reply *r)
{
        writer_init(&r->w, r->bytes, sizeof(r->bytes));
        return &r->w;
}

void rtmp_say_reply(struct rtmp_session *s, struct rtmp_reply *r, uint8_t csid, uint32_t stream_id)
{
        assert(writer_ok(&r->w));
        rtmp_say_message(s, csid, RTMP_COMMAND_AMF0, stream_id, r->bytes, r->w.len);
}

void rtmp_say_status(struct rtmp_session *s, const char *level, const char *code, const char *text)
{
        struct rtmp_reply r;
        rtmp_reply_status(rtmp_say_begin(&r), "onStatus", level, code, text);
        rtmp_say_reply(s, &r, CSID_STATUS, s->stream_id);
}

enum session_state rtmp_say_refusal(struct rtmp_session *s, enum rtmp_close_reason reason, const char *code, const char *text)
{
        char quoted[256];
        if (s->closing)
                return SESSION_CLOSED;
        log_warn_of(s->address, "conn=%" PRIu64 " stream=%s address=%s code=%s msg=%s", s->setup.id, s->stream, s->address, code,
                    log_quote(quoted, sizeof(quoted), text));
        rtmp_say_status(s, "error", code, text);
        s->linger = true;
        return rtmp_state_fail(s, reason);
}

void rtmp_say_result(struct rtmp_session *s, double transaction)
{
        if (transaction == 0)
                return;
        struct rtmp_reply r;
        rtmp_reply_result(rtmp_say_begin(&r), transaction);
        rtmp_say_reply(s, &r, CSID_COMMAND, 0);
}

/* Not while the peer leaves what was written before: an encoder that never reads would have acknowledgements heap up for hours, until it
 * counts as one that does not read, and the next one says the same. One that was held back is acknowledged only when nothing has come
 * for a while, as of an encoder that waits for it. Otherwise it may have closed its socket long ago, with megabytes of its film still in
 * its kernel, which would throw them away and reset the connection at the first byte that it is sent. */
void rtmp_say_received(struct rtmp_session *s)
{
        if (s->was_held && s->now_us - s->since_us < ACK_QUIET_US)
                return;
        if (s->in_bytes - s->acked_bytes < s->window_bytes || s->setup.ops->unread(s->setup.arg))
                return;
        s->acked_bytes = s->in_bytes;
        rtmp_say_u32(s, RTMP_ACK, s->in_bytes);
}

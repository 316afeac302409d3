#include "ingestd/rtmp_wire.h"

#include <stdlib.h>

#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"
#include "common/tls_stream.h"
#include "ingestd/proxy_header.h"

struct stage {
        const char *name;
        enum rtmp_close_reason (*feed)(struct rtmp_wire *w, const uint8_t *data, size_t len_bytes, const char **why);
        enum rtmp_close_reason late;
};

#define WIRE_MAGIC 0x57495245

struct rtmp_wire {
        uint32_t magic;
        const struct stage *stage;
        const struct rtmp_wire_ops *ops;
        void *arg;
        struct proxy_header *header; /* only while it is being read */
        struct tls_stream *tls;      /* NULL: plain */
};

enum { SHOOK, FAILED };
#define HANDSHAKES(label)                                                                                              \
        {.name = "ingestd_tls_handshakes_total", .type = METRIC_COUNTER, .help = "TLS handshakes of broadcasters, by result", \
         .labels = "result=\"" label "\""}
static struct metric metrics[] = {[SHOOK] = HANDSHAKES("ok"), [FAILED] = HANDSHAKES("failed")};

void rtmp_wire_register_metrics(void)
{
        metrics_register(metrics, sizeof(metrics) / sizeof(metrics[0]));
}

static const struct stage stage_header, stage_handshake, stage_tls, stage_plain;

static enum rtmp_close_reason feed_header(struct rtmp_wire *w, const uint8_t *data, size_t len, const char **why)
{
        const uint8_t *end = data + len;
        enum proxy_header_result result = proxy_header_read(w->header, &data, end);
        if (result == PROXY_HEADER_MORE)
                return RTMP_CLOSE_NONE;
        if (result == PROXY_HEADER_BAD)
                return RTMP_CLOSE_PROXY_HEADER;
        if (*w->header->address)
                w->ops->address(w->arg, w->header->address);
        free(w->header);
        w->header = NULL;
        w->stage = w->tls ? &stage_handshake : &stage_plain;
        return data < end ? w->stage->feed(w, data, (size_t)(end - data), why) : RTMP_CLOSE_NONE;
}

static enum rtmp_close_reason feed_tls(struct rtmp_wire *w, const uint8_t *data, size_t len, const char **why)
{
        int err = tls_stream_feed(w->tls, data, len);
        if (err == 0)
                return RTMP_CLOSE_NONE;
        *why = tls_stream_why(w->tls);
        return err == ERR_CLOSED ? RTMP_CLOSE_PEER : RTMP_CLOSE_TLS;
}

static enum rtmp_close_reason feed_handshake(struct rtmp_wire *w, const uint8_t *data, size_t len, const char **why)
{
        if (!w->ops->shake(w->arg))
                return RTMP_CLOSE_HANDSHAKES;
        enum rtmp_close_reason reason = feed_tls(w, data, len, why);
        if (tls_stream_open(w->tls)) {
                w->stage = &stage_tls;
                metric_add(&metrics[SHOOK], 1);
        }
        return reason;
}

static enum rtmp_close_reason feed_plain(struct rtmp_wire *w, const uint8_t *data, size_t len, const char **why)
{
        (void)why;
        w->ops->plain(w->arg, data, len);
        return RTMP_CLOSE_NONE;
}

static const struct stage stage_header = {"header", feed_header, RTMP_CLOSE_PROXY_HEADER};
static const struct stage stage_handshake = {"handshake", feed_handshake, RTMP_CLOSE_TLS};
static const struct stage stage_tls = {"tls", feed_tls, RTMP_CLOSE_NONE};
static const struct stage stage_plain = {"plain", feed_plain, RTMP_CLOSE_NONE};

/* TLS's own view of ops: the wire is its argument. */

static void on_send(void *arg, const void *data, size_t len)
{
        struct rtmp_wire *w = magic_check(arg, WIRE_MAGIC);
        w->ops->send(w->arg, data, len);
}

static void on_plain(void *arg, const void *data, size_t len)
{
        struct rtmp_wire *w = magic_check(arg, WIRE_MAGIC);
        w->ops->plain(w->arg, data, len);
}

static const struct tls_stream_ops tls_ops = {.send = on_send, .plain = on_plain};

struct rtmp_wire *rtmp_wire_new(bool header, SSL *ssl, const struct rtmp_wire_ops *ops, void *arg)
{
        struct rtmp_wire *w = mem_alloc(sizeof(*w));
        w->magic = WIRE_MAGIC;
        w->ops = ops;
        w->arg = arg;
        w->header = header ? mem_alloc(sizeof(*w->header)) : NULL;
        w->tls = ssl ? tls_stream_new(ssl, &tls_ops, w) : NULL;
        w->stage = header ? &stage_header : ssl ? &stage_handshake : &stage_plain;
        return w;
}

enum rtmp_close_reason rtmp_wire_feed(struct rtmp_wire *w, const void *data, size_t len, const char **why)
{
        *why = "";
        return w->stage->feed(w, data, len, why);
}

void rtmp_wire_write(struct rtmp_wire *w, const void *data, size_t len)
{
        if (!w->tls && w->stage == &stage_plain)
                w->ops->send(w->arg, data, len);
        else if (w->tls && tls_stream_open(w->tls))
                tls_stream_write(w->tls, data, len);
}

void rtmp_wire_end(struct rtmp_wire *w)
{
        if (w->tls)
                tls_stream_end(w->tls);
}

void rtmp_wire_free(struct rtmp_wire **wp)
{
        struct rtmp_wire *w = *wp;
        if (!w)
                return;
        *wp = NULL;
        if (w->stage == &stage_handshake)
                metric_add(&metrics[FAILED], 1);
        tls_stream_free(&w->tls);
        free(w->header);
        w->magic = 0;
        free(w);
}

bool rtmp_wire_through(const struct rtmp_wire *w)
{
        return w->stage == &stage_tls || w->stage == &stage_plain;
}

enum rtmp_close_reason rtmp_wire_late(const struct rtmp_wire *w)
{
        return w->stage->late;
}

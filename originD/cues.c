#include "originD/cues.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/box.h"
#include "proto/check.h"

#define HEX_MAX (2 * CUE_BODY_MAX)

struct row {
        struct cue cue; /* its body is here */
        uint8_t body[];
};

struct cues {
        struct row *rows[CUES_MAX]; /* rising times */
        size_t count, bytes;
};

static void forget_first(struct cues *c)
{
        c->bytes -= c->rows[0]->cue.body_len;
        free(c->rows[0]);
        c->count--;
        memmove(&c->rows[0], &c->rows[1], c->count * sizeof(c->rows[0]));
}

static bool is_known(const struct cues *c, const struct cue *said)
{
        for (size_t i = c->count; i-- > 0 && c->rows[i]->cue.at_us >= said->at_us;)
                if (c->rows[i]->cue.at_us == said->at_us && c->rows[i]->cue.id == said->id)
                        return true;
        return false;
}

/* False: it is known, or older than all that there is room for. */
static bool add(struct cues **cp, const struct cue *said, size_t *forgotten)
{
        struct cues *c = *cp ? *cp : mem_alloc(sizeof(*c));
        *cp = c;
        if (is_known(c, said))
                return false;
        while (c->count == CUES_MAX || c->bytes + said->body_len > CUES_BYTES) {
                if (said->at_us < c->rows[0]->cue.at_us)
                        return false;
                forget_first(c);
                ++*forgotten;
        }
        struct row *row = mem_alloc(sizeof(*row) + said->body_len);
        memcpy(row->body, said->body, said->body_len);
        row->cue = *said;
        row->cue.body = row->body;
        size_t i = c->count;
        while (i > 0 && c->rows[i - 1]->cue.at_us > said->at_us)
                i--;
        memmove(&c->rows[i + 1], &c->rows[i], (c->count - i) * sizeof(c->rows[0]));
        c->rows[i] = row;
        c->count++;
        c->bytes += said->body_len;
        return true;
}

size_t cues_take(struct cues **c, const uint8_t *chunk, size_t len_bytes, size_t *forgotten)
{
        struct reader r;
        struct box b;
        size_t taken = 0;
        reader_init(&r, chunk, len_bytes);
        *forgotten = 0;
        while (box_next(&r, &b) > 0 && b.type != BOX_TYPE('m', 'o', 'o', 'f')) {
                struct cue said;
                if (b.type == BOX_TYPE('e', 'm', 's', 'g') && cue_box_read(&said, b.body, b.body_len) == 0)
                        taken += add(c, &said, forgotten);
        }
        return taken;
}

void cues_free(struct cues **cp)
{
        struct cues *c = *cp;
        *cp = NULL;
        for (size_t i = 0; c && i < c->count; i++)
                free(c->rows[i]);
        free(c);
}

/* ---- as JSON: [time, id, duration, kind, body] ------------------------------------------------------------------------ */

static void write_hex(char *dst, const struct cue *c)
{
        static const char digits[] = "0123456789ABCDEF";
        for (size_t i = 0; i < c->body_len; i++) {
                *dst++ = digits[c->body[i] >> 4];
                *dst++ = digits[c->body[i] & 15];
        }
        *dst = '\0';
}

json_t *cues_to_json(const struct cues *c)
{
        json_t *list = c && c->count ? json_array() : NULL;
        for (size_t i = 0; list && i < c->count; i++) {
                char hex[HEX_MAX + 1];
                const struct cue *q = &c->rows[i]->cue;
                write_hex(hex, q);
                json_array_append_new(list, json_pack("[I, I, I, i, s]", (json_int_t)q->at_us, (json_int_t)q->id,
                                                      (json_int_t)q->duration_ms, (int)q->kind, hex));
        }
        return list;
}

static int digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns how many bytes; 0: it is no hex. */
static size_t read_hex(uint8_t *dst, const char *hex)
{
        size_t len = strlen(hex);
        if (len % 2 || len > HEX_MAX)
                return 0;
        for (size_t i = 0; i < len; i += 2) {
                int high = digit(hex[i]), low = digit(hex[i + 1]);
                if (high < 0 || low < 0)
                        return 0;
                dst[i / 2] = (uint8_t)(high << 4 | low);
        }
        return len / 2;
}

size_t cues_from_json(struct cues **c, const json_t *list)
{
        size_t taken = 0, forgotten = 0;
        for (size_t i = 0; i < json_array_size(list) && i < CUES_MAX; i++) {
                uint8_t body[CUE_BODY_MAX];
                json_int_t at_us, id, duration_ms;
                int kind;
                const char *hex;
                if (json_unpack(json_array_get(list, i), "[I, I, I, i, s]", &at_us, &id, &duration_ms, &kind, &hex) ||
                    at_us < 0 || at_us > TIME_MAX_US || id < 0 || id > UINT32_MAX || duration_ms < 0 || duration_ms > UINT32_MAX || kind < 0 || kind >= CUE_KINDS)
                        continue;
                struct cue said = {.kind = (uint8_t)kind, .id = (uint32_t)id, .duration_ms = (uint32_t)duration_ms, .at_us = at_us,
                                   .body = body, .body_len = read_hex(body, hex)};
                taken += said.body_len && add(c, &said, &forgotten);
        }
        return taken;
}

/* ---- as a playlist's lines (RFC 8216bis, 4.4.5.1) ------------------------------------------------------------------------ */

/* Which attribute a section is told in: of splice_insert what leaves the network and what returns to it, of all else neither. */
static const char *splice_attribute(const struct cue *c)
{
        enum { COMMAND_AT = 13, CANCEL_AT = 18, OUT_AT = 19, SPLICE_INSERT = 5, FLAG = 0x80 };
        if (c->body_len <= OUT_AT || c->body[COMMAND_AT] != SPLICE_INSERT || c->body[CANCEL_AT] & FLAG)
                return "SCTE35-CMD";
        return c->body[OUT_AT] & FLAG ? "SCTE35-OUT" : "SCTE35-IN";
}

static void write_line(const struct cue *c, struct m3u8 *out, int64_t epoch_us, bool timed)
{
        char iso[CLOCK_ISO_MAX], hex[HEX_MAX + 1];
        /* What has one ID is to have the same attributes wherever it is told, so the ID is of all that tells two cues apart here. */
        m3u8_fmt(out, "#EXT-X-DATERANGE:ID=\"%08" PRIX32, c->id);
        if (timed)
                m3u8_fmt(out, "-%" PRId64, c->at_us / US_PER_MS);
        m3u8_fmt(out, "\",CLASS=\"%s\",START-DATE=\"%s\"", cue_scheme(c->kind), clock_iso(iso, sizeof(iso), epoch_us + c->at_us));
        if (c->duration_ms != CUE_NO_DURATION)
                m3u8_fmt(out, ",DURATION=%" PRIu32 ".%03" PRIu32, c->duration_ms / 1000, c->duration_ms % 1000);
        write_hex(hex, c);
        m3u8_fmt(out, ",%s=0x%s\n", c->kind == CUE_SCTE35 ? splice_attribute(c) : "X-JSON", hex);
}

void cues_write(const struct cues *c, struct m3u8 *out, int64_t epoch_us, int64_t from_us, bool timed)
{
        for (size_t i = 0; c && i < c->count; i++) {
                const struct cue *q = &c->rows[i]->cue;
                int64_t lasts_us = q->duration_ms == CUE_NO_DURATION ? 0 : q->duration_ms * US_PER_MS;
                if (q->at_us + lasts_us >= from_us)
                        write_line(q, out, epoch_us, timed);
        }
}

#include "common/avc.h"

#include <string.h>

#include "common/bytes.h"
#include "common/err.h"

enum { NAL_SLICE = 1, NAL_SLICE_IDR = 5, NAL_SEI = 6, NAL_SPS = 7, NAL_PPS = 8, NAL_DELIMITER = 9 };
enum { SEI_RECOVERY_POINT = 6 };
enum { SLICE_I = 2, SLICE_SI = 4, SLICE_KINDS = 5 };

struct nal {
        const uint8_t *data; /* from its header on */
        size_t len;
};

static unsigned nal_type(const struct nal *n)
{
        return n->data[0] & 0x1f;
}

/* --- parameter sets in a record --- */

/* Calls set with each of count parameter sets. */
static void read_sets(struct reader *r, unsigned count, void (*set)(void *arg, struct nal nal), void *arg)
{
        for (unsigned i = 0; i < count && !r->err; i++) {
                struct nal nal = {.len = reader_u16(r)};
                nal.data = reader_bytes(r, nal.len);
                if (nal.len == 0)
                        reader_fail(r);
                else if (nal.data && set)
                        set(arg, nal);
        }
}

/* sps: is called with each sequence parameter set; may be NULL. */
static int read_record(struct avc_record *out, const uint8_t *data, size_t len, void (*sps)(void *arg, struct nal nal), void *arg)
{
        struct reader r;
        struct avc_record record;
        reader_init(&r, data, len);
        uint8_t version = reader_u8(&r);
        reader_skip(&r, 3); /* profile, compatibility, level */
        record.length_size = (reader_u8(&r) & 3u) + 1;
        record.sps = reader_u8(&r) & 0x1f;
        if (r.err || version != 1 || record.length_size == 3)
                return ERR_PROTO;
        read_sets(&r, record.sps, sps, arg);
        record.pps = reader_left(&r) || record.sps ? reader_u8(&r) : 0; /* a record without any often ends here */
        read_sets(&r, record.pps, NULL, NULL);
        if (r.err)
                return ERR_PROTO;
        *out = record;
        return record.sps && record.pps ? 0 : ERR_NOT_FOUND;
}

int avc_record_read(struct avc_record *out, const uint8_t *data, size_t len_bytes)
{
        return read_record(out, data, len_bytes, NULL, NULL);
}

struct search {
        struct nal nal;
        const uint8_t *older;
        size_t older_len;
        bool found, brings;
};

static size_t len_without_zeros(const struct nal *n)
{
        size_t len = n->len;
        while (len > 0 && n->data[len - 1] == 0)
                len--;
        return len;
}

static void compare(void *arg, struct nal nal)
{
        struct search *s = arg;
        size_t len = len_without_zeros(&nal);
        s->found |= len == len_without_zeros(&s->nal) && memcmp(nal.data, s->nal.data, len) == 0;
}

static void look_for(void *arg, struct nal nal)
{
        struct search *s = arg;
        struct avc_record ignored;
        s->nal = nal;
        s->found = false;
        read_record(&ignored, s->older, s->older_len, compare, s);
        s->brings |= !s->found;
}

bool avc_record_brings_sps(const uint8_t *older, size_t older_len, const uint8_t *newer, size_t newer_len)
{
        struct avc_record ignored;
        struct search s = {.older = older, .older_len = older_len};
        return read_record(&ignored, newer, newer_len, look_for, &s) != ERR_PROTO && s.brings;
}

/* --- NAL units of an access unit --- */

struct units {
        struct reader r;
        unsigned length_size; /* 0: start codes */
};

static uint32_t u32_at(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Four bytes 0, 0, 0, 1 may be a start code, or the length of a NAL unit of one byte: then another length follows that fits. */
static bool has_start_codes(unsigned length_size, const uint8_t *p, size_t len)
{
        return length_size == 4 && len > 8 && u32_at(p) == 1 && u32_at(p + 5) > len;
}

static void units_init(struct units *u, unsigned length_size, const uint8_t *p, size_t len)
{
        reader_init(&u->r, p, len);
        u->length_size = has_start_codes(length_size, p, len) ? 0 : length_size;
}

/* From a start code to the next one or the end; zeros before the next belong to it, or to nothing. */
static struct nal next_after_start_code(struct reader *r)
{
        static const uint8_t code[3] = {0, 0, 1};
        const uint8_t *at = memmem(r->p, reader_left(r), code, sizeof(code));
        if (!at) {
                r->p = r->end;
                return (struct nal){0};
        }
        at += sizeof(code);
        const uint8_t *next = memmem(at, (size_t)(r->end - at), code, sizeof(code));
        r->p = next ? next : r->end;
        return (struct nal){.data = at, .len = (size_t)(r->p - at)};
}

static struct nal next_after_length(struct reader *r, unsigned length_size)
{
        size_t len = 0;
        for (unsigned i = 0; i < length_size; i++)
                len = len << 8 | reader_u8(r);
        return (struct nal){.data = reader_bytes(r, len), .len = len};
}

/* False: no more. Empty ones are left out. */
static bool units_next(struct units *u, struct nal *out)
{
        while (reader_left(&u->r) > 0) {
                *out = u->length_size ? next_after_length(&u->r, u->length_size) : next_after_start_code(&u->r);
                if (out->data && out->len > 0)
                        return true;
        }
        return false;
}

/* --- bits of a NAL unit, without the bytes that keep start codes away --- */

struct bits {
        struct nal nal;
        size_t at; /* byte */
        unsigned zeros, left;
        uint8_t byte;
};

/* Zeros after the end. */
static uint8_t bits_u8(struct bits *b)
{
        if (b->zeros >= 2 && b->at < b->nal.len && b->nal.data[b->at] == 3) {
                b->at++;
                b->zeros = 0;
        }
        uint8_t v = b->at < b->nal.len ? b->nal.data[b->at] : 0;
        b->at++;
        b->zeros = v == 0 ? b->zeros + 1 : 0;
        return v;
}

static unsigned bits_one(struct bits *b)
{
        if (b->left == 0) {
                b->byte = bits_u8(b);
                b->left = 8;
        }
        return b->byte >> --b->left & 1u;
}

/* Exp-Golomb, section 9.1; UINT32_MAX: longer than any that may be. */
static uint32_t bits_ue(struct bits *b)
{
        unsigned zeros = 0;
        uint32_t v = 1;
        while (bits_one(b) == 0)
                if (++zeros > 31)
                        return UINT32_MAX;
        for (unsigned i = 0; i < zeros; i++)
                v = v << 1 | bits_one(b);
        return v - 1;
}

static bool slice_is_intra(const struct nal *n)
{
        struct bits b = {.nal = *n, .at = 1};
        bits_ue(&b); /* first_mb_in_slice */
        uint32_t kind = bits_ue(&b) % SLICE_KINDS;
        return kind == SLICE_I || kind == SLICE_SI;
}

static size_t sei_number(struct bits *b)
{
        size_t v = 0;
        uint8_t byte;
        do {
                byte = bits_u8(b);
                v += byte;
        } while (byte == 0xff);
        return v;
}

/* The next message of a NAL unit of them; its payload is what is read next. False: no more. */
static bool sei_next(struct bits *b, size_t *type, size_t *len)
{
        if (b->at + 2 >= b->nal.len) /* no more than the bits at the end */
                return false;
        *type = sei_number(b);
        *len = sei_number(b);
        return true;
}

static void sei_skip(struct bits *b, size_t len)
{
        for (; len > 0 && b->at < b->nal.len; len--)
                bits_u8(b);
}

static bool sei_has_recovery_point(const struct nal *n)
{
        struct bits b = {.nal = *n, .at = 1};
        for (size_t type, len; sei_next(&b, &type, &len); sei_skip(&b, len))
                if (type == SEI_RECOVERY_POINT)
                        return true;
        return false;
}

static bool sei_has(const struct nal *n, unsigned wanted, bool (*is_it)(const uint8_t *payload, size_t len_bytes))
{
        uint8_t payload[AVC_SEI_BYTES_MAX];
        struct bits b = {.nal = *n, .at = 1};
        for (size_t type, len; sei_next(&b, &type, &len);) {
                if (type != wanted || len > sizeof(payload)) {
                        sei_skip(&b, len);
                        continue;
                }
                for (size_t i = 0; i < len; i++)
                        payload[i] = bits_u8(&b);
                if (b.at <= n->len && is_it(payload, len))
                        return true;
        }
        return false;
}

bool avc_has_sei(unsigned length_size, const uint8_t *units, size_t len_bytes, unsigned type,
                 bool (*is_it)(const uint8_t *payload, size_t len_bytes))
{
        struct units u;
        struct nal nal;
        units_init(&u, length_size, units, len_bytes);
        while (units_next(&u, &nal))
                if (nal_type(&nal) == NAL_SEI && sei_has(&nal, type, is_it))
                        return true;
        return false;
}

struct avc_look avc_look(unsigned length_size, const uint8_t *unit, size_t len_bytes)
{
        struct avc_look look = {.intra = true, .broken = true};
        struct units u;
        struct nal nal;
        units_init(&u, length_size, unit, len_bytes);
        while (units_next(&u, &nal)) {
                look.broken = false;
                unsigned type = nal_type(&nal);
                if (type >= NAL_SLICE && type <= NAL_SLICE_IDR) {
                        look.picture = true;
                        look.idr |= type == NAL_SLICE_IDR;
                        look.intra &= slice_is_intra(&nal);
                }
                look.recovery |= type == NAL_SEI && sei_has_recovery_point(&nal);
                look.sps |= type == NAL_SPS;
                look.pps |= type == NAL_PPS;
        }
        look.intra &= look.picture;
        look.broken |= u.r.err != 0;
        return look;
}

static unsigned write_sets(struct writer *w, struct units u, unsigned type, unsigned most)
{
        struct nal nal;
        unsigned n = 0;
        while (n < most && units_next(&u, &nal)) {
                size_t len = len_without_zeros(&nal);
                if (nal_type(&nal) != type || len < 4 || len > UINT16_MAX)
                        continue;
                writer_u16(w, (uint16_t)len);
                writer_bytes(w, nal.data, len);
                n++;
        }
        return n;
}

size_t avc_record_make(uint8_t *dst, size_t cap, unsigned length_size, const uint8_t *unit, size_t len_bytes)
{
        enum { HEAD = 6, SPS_MOST = 31, PPS_MOST = 255 };
        struct units u;
        struct writer w;
        units_init(&u, length_size, unit, len_bytes);
        writer_init(&w, dst, cap);
        writer_bytes(&w, "\1\0\0\0", 4);
        writer_u8(&w, (uint8_t)(0xfc | (length_size - 1)));
        writer_u8(&w, 0xe0);
        unsigned sps = write_sets(&w, u, NAL_SPS, SPS_MOST);
        size_t pps_at = w.len;
        writer_u8(&w, 0);
        unsigned pps = write_sets(&w, u, NAL_PPS, PPS_MOST);
        if (!writer_ok(&w) || sps == 0 || pps == 0)
                return 0;
        memcpy(dst + 1, dst + HEAD + 3, 3); /* profile, compatibility, level, as the first of them says */
        dst[HEAD - 1] |= (uint8_t)sps;
        dst[pps_at] = (uint8_t)pps;
        return w.len;
}

static void write_sei_number(struct writer *w, size_t v)
{
        for (; v >= 0xff; v -= 0xff)
                writer_u8(w, 0xff);
        writer_u8(w, (uint8_t)v);
}

/* A NAL unit of one message, with the bytes that keep start codes away. Returns its length; dst has room for half as much again. */
static size_t write_sei(uint8_t *dst, const uint8_t *raw, size_t len)
{
        size_t n = 0, zeros = 0;
        for (size_t i = 0; i < len; i++) {
                if (zeros >= 2 && raw[i] <= 3) {
                        dst[n++] = 3;
                        zeros = 0;
                }
                dst[n++] = raw[i];
                zeros = raw[i] == 0 ? zeros + 1 : 0;
        }
        return n;
}

/* Where the access unit's own NAL units may have another one before them: behind the delimiter, which has to be the first. */
static size_t place_of_sei(unsigned length_size, const uint8_t *unit, size_t len)
{
        struct units u;
        struct nal nal;
        units_init(&u, length_size, unit, len);
        return units_next(&u, &nal) && nal_type(&nal) == NAL_DELIMITER ? (size_t)(u.r.p - unit) : 0;
}

struct buf *avc_add_sei(unsigned length_size, const uint8_t *unit, size_t len_bytes, unsigned type, const uint8_t *payload,
                        size_t payload_len)
{
        bool start_codes = has_start_codes(length_size, unit, len_bytes);
        size_t room = 8 + payload_len + payload_len / 0xff, head = start_codes ? AVC_LENGTH_SIZE : length_size;
        struct buf *raw = buf_new(room), *nal = buf_new(room + room / 2 + 1), *out = NULL;
        struct writer w;
        writer_init(&w, raw->data, raw->len);
        writer_u8(&w, NAL_SEI);
        write_sei_number(&w, type);
        write_sei_number(&w, payload_len);
        writer_bytes(&w, payload, payload_len);
        writer_u8(&w, 0x80); /* the bits at the end */
        size_t nal_len = write_sei(nal->data, raw->data, w.len), at = place_of_sei(length_size, unit, len_bytes);
        if (head >= AVC_LENGTH_SIZE || nal_len < (size_t)1 << 8 * head) {
                out = buf_new(len_bytes + head + nal_len);
                writer_init(&w, out->data, out->len);
                writer_bytes(&w, unit, at);
                for (size_t i = head; i-- > 0;)
                        writer_u8(&w, (uint8_t)((start_codes ? 1 : nal_len) >> 8 * i));
                writer_bytes(&w, nal->data, nal_len);
                writer_bytes(&w, unit + at, len_bytes - at);
        }
        buf_unref(&raw);
        buf_unref(&nal);
        return out;
}

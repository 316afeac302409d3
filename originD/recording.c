#include "originD/recording.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"

#define TIMESCALE 1000 /* of the movie header: only the duration counts in it */
#define HEADER_OWN_BYTES 512 /* ftyp, mvhd, mvex and their frames; the rest is the init segments' own */

/* ---- the header -------------------------------------------------------------------------------------------------- */

static size_t open_box(struct writer *w, const char *type)
{
        size_t at = w->len;
        writer_u32(w, 0);
        writer_bytes(w, type, 4);
        return at;
}

static void close_box(struct writer *w, size_t at)
{
        struct writer size;
        writer_init(&size, w->data + at, 4);
        writer_u32(&size, (uint32_t)(w->len - at));
}

static void zeros(struct writer *w, size_t n)
{
        while (n--)
                writer_u8(w, 0);
}

/* Not the init segment's: its brands say that there is one track (CMAF). */
static void write_ftyp(struct writer *w)
{
        size_t at = open_box(w, "ftyp");
        writer_bytes(w, "iso6\0\0\2\0isomiso6mp41", 20);
        close_box(w, at);
}

static void write_mvhd(struct writer *w, size_t tracks)
{
        static const uint32_t matrix[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
        size_t at = open_box(w, "mvhd");
        zeros(w, 4 + 4 + 4); /* version and flags, made, changed */
        writer_u32(w, TIMESCALE);
        writer_u32(w, 0); /* of a fragmented file the duration is mehd's */
        writer_u32(w, 0x10000);
        writer_u16(w, 0x100);
        zeros(w, 10);
        for (size_t i = 0; i < 9; i++)
                writer_u32(w, matrix[i]);
        zeros(w, 24);
        writer_u32(w, (uint32_t)tracks + 1);
        close_box(w, at);
}

/* The first box of that type among those from r on. */
static int find(struct reader r, uint32_t type, struct box *out)
{
        int rc;
        while ((rc = box_next(&r, out)) > 0)
                if (out->type == type)
                        return 0;
        return ERR_PROTO;
}

static int find_in(const struct box *parent, uint32_t type, struct box *out)
{
        struct reader r;
        reader_init(&r, parent->body, parent->body_len);
        return find(r, type, out);
}

static void put_u32(uint8_t *at, uint32_t v)
{
        struct writer w;
        writer_init(&w, at, 4);
        writer_u32(&w, v);
}

static size_t box_bytes(const struct box *b)
{
        return (size_t)(b->body - b->start) + b->body_len;
}

/* A box as it is, but for four bytes of its part `inner` (or itself) that name the track. */
static int copy_with_id(struct writer *w, const struct box *b, const struct box *inner, size_t id_at, uint32_t id)
{
        if (inner->body_len < id_at + 4)
                return ERR_PROTO;
        uint8_t *copy = w->data + w->len;
        writer_bytes(w, b->start, box_bytes(b));
        if (!writer_ok(w))
                return ERR_PROTO;
        put_u32(copy + (inner->body - b->start) + id_at, id);
        return 0;
}

static int copy_trak(struct writer *w, const struct box *moov, uint32_t id)
{
        struct box trak, tkhd;
        if (find_in(moov, BOX_TYPE('t', 'r', 'a', 'k'), &trak) || find_in(&trak, BOX_TYPE('t', 'k', 'h', 'd'), &tkhd) || !tkhd.body_len)
                return ERR_PROTO;
        return copy_with_id(w, &trak, &tkhd, tkhd.body[0] == 1 ? 4 + 16 : 4 + 8, id);
}

static int copy_trex(struct writer *w, const struct box *moov, uint32_t id)
{
        struct box mvex, trex;
        if (find_in(moov, BOX_TYPE('m', 'v', 'e', 'x'), &mvex) || find_in(&mvex, BOX_TYPE('t', 'r', 'e', 'x'), &trex))
                return ERR_PROTO;
        return copy_with_id(w, &trex, &trex, 4, id);
}

static void write_mehd(struct writer *w, int64_t duration_us)
{
        size_t at = open_box(w, "mehd");
        writer_u32(w, 1u << 24); /* version 1: 64 bits */
        writer_i64(w, duration_us / (US_PER_S / TIMESCALE));
        close_box(w, at);
}

static int write_moov(struct writer *w, const struct box moovs[], size_t count, int64_t duration_us)
{
        int err = 0;
        size_t at = open_box(w, "moov");
        write_mvhd(w, count);
        for (size_t i = 0; i < count && !err; i++)
                err = copy_trak(w, &moovs[i], (uint32_t)i + 1);
        size_t mvex = open_box(w, "mvex");
        if (duration_us > 0)
                write_mehd(w, duration_us);
        for (size_t i = 0; i < count && !err; i++)
                err = copy_trex(w, &moovs[i], (uint32_t)i + 1);
        close_box(w, mvex);
        close_box(w, at);
        return err;
}

int recording_header(struct buf **out, const struct buf *const inits[], size_t count, int64_t duration_us)
{
        struct box moovs[RECORDING_TRACKS_MAX];
        size_t cap = HEADER_OWN_BYTES;
        *out = NULL;
        assert(count > 0 && count <= RECORDING_TRACKS_MAX);
        for (size_t i = 0; i < count; i++) {
                struct init_info info;
                struct reader r;
                reader_init(&r, inits[i]->data, inits[i]->len);
                int err = box_init_parse(inits[i]->data, inits[i]->len, &info);
                if (err || find(r, BOX_TYPE('m', 'o', 'o', 'v'), &moovs[i]))
                        return err ? err : ERR_PROTO;
                cap += inits[i]->len;
        }
        struct buf *whole = buf_new(cap);
        struct writer w;
        writer_init(&w, whole->data, cap);
        write_ftyp(&w);
        int err = write_moov(&w, moovs, count, duration_us);
        if (!err)
                *out = buf_copy(whole->data, w.len);
        buf_unref(&whole);
        return err;
}

/* ---- the order --------------------------------------------------------------------------------------------------- */

uint64_t recording_part_bytes(const struct recording_part *p)
{
        uint64_t sum = 0;
        for (size_t t = 0; t < RECORDING_TRACKS_MAX; t++)
                for (size_t i = 0; i < p->count[t]; i++)
                        sum += p->rows[t][i].len_bytes;
        return sum;
}

bool recording_next(struct recording_cursor *c, const struct recording_part *p, struct recording_piece *out)
{
        size_t first = RECORDING_TRACKS_MAX;
        for (size_t t = RECORDING_TRACKS_MAX; t-- > 0;)
                if (c->at[t] < p->count[t] &&
                    (first == RECORDING_TRACKS_MAX || p->rows[t][c->at[t]].segment <= p->rows[first][c->at[first]].segment))
                        first = t;
        if (first == RECORDING_TRACKS_MAX)
                return false;
        size_t row = c->at[first]++;
        *out = (struct recording_piece){first, row, c->offset, p->rows[first][row].len_bytes};
        c->offset += out->len_bytes;
        return true;
}

void recording_seek(struct recording_cursor *c, const struct recording_part *p, uint64_t offset)
{
        struct recording_cursor before = c->offset <= offset ? *c : (struct recording_cursor){0};
        struct recording_piece piece;
        *c = before;
        while (recording_next(c, p, &piece) && piece.offset + piece.len_bytes <= offset)
                before = *c;
        *c = before;
}

/* ---- a segment --------------------------------------------------------------------------------------------------- */

static int rewrite_tfdt(struct box *b, uint64_t origin_ticks)
{
        struct reader r;
        struct writer w;
        reader_init(&r, b->body, b->body_len);
        bool wide = reader_u8(&r) == 1;
        reader_skip(&r, 3);
        uint64_t ticks = wide ? reader_u64(&r) : reader_u32(&r);
        if (!r.err && ticks + 1 == origin_ticks) /* on the grid as far as ticks can say it (index_on_grid()) */
                ticks = origin_ticks;
        if (r.err || ticks < origin_ticks)
                return ERR_PROTO;
        writer_init(&w, (uint8_t *)(uintptr_t)b->body + 4, wide ? 8 : 4);
        if (wide)
                writer_u64(&w, ticks - origin_ticks);
        else
                writer_u32(&w, (uint32_t)(ticks - origin_ticks));
        return 0;
}

/* box.h reads; what it points to lies in the caller's chunk, which is his to write. */
static uint8_t *writable(const uint8_t *p)
{
        return (uint8_t *)(uintptr_t)p;
}

static int rewrite_moof(const struct box *moof, size_t track, uint32_t number, uint64_t origin_ticks)
{
        struct box mfhd, traf, tfhd, tfdt;
        if (find_in(moof, BOX_TYPE('m', 'f', 'h', 'd'), &mfhd) || mfhd.body_len < 8 ||
            find_in(moof, BOX_TYPE('t', 'r', 'a', 'f'), &traf) || find_in(&traf, BOX_TYPE('t', 'f', 'h', 'd'), &tfhd) ||
            tfhd.body_len < 8 || find_in(&traf, BOX_TYPE('t', 'f', 'd', 't'), &tfdt))
                return ERR_PROTO;
        put_u32(writable(mfhd.body) + 4, number);
        put_u32(writable(tfhd.body) + 4, (uint32_t)track + 1);
        return rewrite_tfdt(&tfdt, origin_ticks);
}

static int rewrite_chunk(uint8_t *chunk, size_t len_bytes, const struct init_info *init, size_t track, uint32_t number,
                         uint64_t origin_ticks)
{
        struct chunk_info info;
        struct reader r;
        struct box b;
        if (box_chunk_parse(chunk, len_bytes, init, &info))
                return ERR_PROTO;
        reader_init(&r, chunk, len_bytes);
        while (box_next(&r, &b) > 0 && b.type != BOX_TYPE('m', 'd', 'a', 't'))
                if (b.type != BOX_TYPE('m', 'o', 'o', 'f'))
                        memcpy(writable(b.start) + 4, "free", 4);
                else if (rewrite_moof(&b, track, number, origin_ticks))
                        return ERR_PROTO;
        return 0;
}

int recording_rewrite(uint8_t *bytes, size_t len_bytes, const struct init_info *init, size_t track, uint32_t segment,
                      uint32_t origin_segment)
{
        struct reader r;
        struct box b;
        uint8_t *chunk = bytes;
        uint32_t n = 0;
        reader_init(&r, bytes, len_bytes);
        while (box_next(&r, &b) > 0) {
                if (b.type != BOX_TYPE('m', 'd', 'a', 't'))
                        continue;
                size_t len = (size_t)(b.body + b.body_len - chunk);
                /* It rises in the file's order, and is made of the place: no part needs to know what is in those before. */
                uint32_t number = (segment * RECORDING_TRACKS_MAX + (uint32_t)track) * CHUNKS_PER_SEGMENT + ++n;
                if (n > CHUNKS_PER_SEGMENT || rewrite_chunk(chunk, len, init, track, number, (uint64_t)origin_segment * init->timescale))
                        return ERR_PROTO;
                chunk += len;
        }
        return n && chunk == bytes + len_bytes ? 0 : ERR_PROTO;
}

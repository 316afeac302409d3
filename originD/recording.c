#include "originD/recording.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"

#define TIMESCALE 90000u /* of the movie */
#define MDAT_HEADER_BYTES 16

/* ---- boxes ------------------------------------------------------------------------------------------------------- */

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
        if (!w->data) /* it only counts */
                return;
        writer_init(&size, w->data + at, 4);
        writer_u32(&size, (uint32_t)(w->len - at));
}

static void zeros(struct writer *w, size_t n)
{
        while (n--)
                writer_u8(w, 0);
}

/* The first box of that type among those from r on. */
static int find(struct reader r, uint32_t type, struct box *out)
{
        while (box_next(&r, out) > 0)
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

/* What is in a box of the init segment goes into the open one, but for what is written anew. */
static void copy_others(struct writer *w, const struct box *parent, uint32_t but, uint32_t and_but)
{
        struct reader r;
        struct box b;
        reader_init(&r, parent->body, parent->body_len);
        while (box_next(&r, &b) > 0)
                if (b.type != but && b.type != and_but)
                        writer_bytes(w, b.start, (size_t)(b.body - b.start) + b.body_len);
}

/* ---- a track ----------------------------------------------------------------------------------------------------- */

/* What is needed of an init segment. */
struct source {
        struct box trak, tkhd, mdia, mdhd, minf, stbl, stsd;
        struct init_info info;
        const struct sample_tables *tables;
        uint64_t late, lasts; /* in the movie's time: behind the movie's beginning, and for so long */
};

static int open_source(struct source *s, const struct recording_track *t, uint32_t origin_segment)
{
        struct reader r;
        struct box moov;
        int err = box_init_parse(t->init->data, t->init->len, &s->info);
        if (err)
                return err;
        reader_init(&r, t->init->data, t->init->len);
        if (find(r, BOX_TYPE('m', 'o', 'o', 'v'), &moov) || find_in(&moov, BOX_TYPE('t', 'r', 'a', 'k'), &s->trak) ||
            find_in(&s->trak, BOX_TYPE('t', 'k', 'h', 'd'), &s->tkhd) || find_in(&s->trak, BOX_TYPE('m', 'd', 'i', 'a'), &s->mdia) ||
            find_in(&s->mdia, BOX_TYPE('m', 'd', 'h', 'd'), &s->mdhd) || find_in(&s->mdia, BOX_TYPE('m', 'i', 'n', 'f'), &s->minf) ||
            find_in(&s->minf, BOX_TYPE('s', 't', 'b', 'l'), &s->stbl) || find_in(&s->stbl, BOX_TYPE('s', 't', 's', 'd'), &s->stsd))
                return ERR_PROTO;
        if (s->tkhd.body_len < 84 || s->mdhd.body_len < 24) /* of version 0 */
                return ERR_PROTO;
        uint64_t origin = (uint64_t)origin_segment * s->info.timescale, begins = t->tables->start_ticks;
        s->tables = t->tables;
        s->late = begins > origin ? (begins - origin) * TIMESCALE / s->info.timescale : 0;
        s->lasts = (t->tables->end_ticks - begins) * TIMESCALE / s->info.timescale;
        return 0;
}

/* In 64 bits: at 90,000 ticks a second 32 are over after 13 hours. */
static void write_tkhd(struct writer *w, const struct source *s, uint32_t id)
{
        size_t at = open_box(w, "tkhd");
        writer_u32(w, 1u << 24 | 3); /* enabled, and part of the movie */
        zeros(w, 8 + 8);             /* made, changed */
        writer_u32(w, id);
        zeros(w, 4);
        writer_u64(w, s->late + s->lasts);
        writer_bytes(w, s->tkhd.body + s->tkhd.body_len - 60, 60); /* layer, volume, matrix, size */
        close_box(w, at);
}

/* A track that begins later than the movie does is preceded by nothing for so long. */
static void write_edts(struct writer *w, const struct source *s)
{
        size_t edts = open_box(w, "edts"), elst = open_box(w, "elst");
        writer_u32(w, 1u << 24);
        writer_u32(w, s->late ? 2 : 1);
        if (s->late) {
                writer_u64(w, s->late);
                writer_i64(w, -1);
                writer_u32(w, 1u << 16);
        }
        writer_u64(w, s->lasts);
        writer_i64(w, 0);
        writer_u32(w, 1u << 16);
        close_box(w, elst);
        close_box(w, edts);
}

static void write_mdhd(struct writer *w, const struct source *s)
{
        size_t at = open_box(w, "mdhd");
        writer_u32(w, 1u << 24);
        zeros(w, 8 + 8);
        writer_u32(w, s->info.timescale);
        writer_u64(w, s->tables->end_ticks - s->tables->start_ticks);
        writer_bytes(w, s->mdhd.body + s->mdhd.body_len - 4, 4); /* language */
        close_box(w, at);
}

static void write_trak(struct writer *w, const struct source *s, uint32_t id, uint64_t media_at)
{
        size_t trak = open_box(w, "trak");
        write_tkhd(w, s, id);
        write_edts(w, s);
        size_t mdia = open_box(w, "mdia");
        write_mdhd(w, s);
        copy_others(w, &s->mdia, BOX_TYPE('m', 'd', 'h', 'd'), BOX_TYPE('m', 'i', 'n', 'f'));
        size_t minf = open_box(w, "minf");
        copy_others(w, &s->minf, BOX_TYPE('s', 't', 'b', 'l'), 0);
        size_t stbl = open_box(w, "stbl");
        writer_bytes(w, s->stsd.start, (size_t)(s->stsd.body - s->stsd.start) + s->stsd.body_len);
        sample_tables_write(w, s->tables, s->info.kind, media_at);
        close_box(w, stbl);
        close_box(w, minf);
        close_box(w, mdia);
        close_box(w, trak);
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static void write_ftyp(struct writer *w)
{
        size_t at = open_box(w, "ftyp");
        writer_bytes(w, "isom\0\0\2\0isomiso2avc1mp41", 24);
        close_box(w, at);
}

static void write_mvhd(struct writer *w, const struct source sources[], size_t count)
{
        static const uint32_t matrix[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
        uint64_t lasts = 0;
        for (size_t i = 0; i < count; i++)
                lasts = sources[i].late + sources[i].lasts > lasts ? sources[i].late + sources[i].lasts : lasts;
        size_t at = open_box(w, "mvhd");
        writer_u32(w, 1u << 24);
        zeros(w, 8 + 8); /* made, changed */
        writer_u32(w, TIMESCALE);
        writer_u64(w, lasts);
        writer_u32(w, 0x10000);
        writer_u16(w, 0x100);
        zeros(w, 10);
        for (size_t i = 0; i < 9; i++)
                writer_u32(w, matrix[i]);
        zeros(w, 24);
        writer_u32(w, (uint32_t)count + 1);
        close_box(w, at);
}

static void write_header(struct writer *w, const struct source sources[], size_t count, uint64_t media_at, uint64_t media_bytes)
{
        write_ftyp(w);
        size_t at = open_box(w, "moov");
        write_mvhd(w, sources, count);
        for (size_t i = 0; i < count; i++)
                write_trak(w, &sources[i], (uint32_t)i + 1, media_at);
        close_box(w, at);
        writer_u32(w, 1); /* its length is of 64 bits, behind its name */
        writer_bytes(w, "mdat", 4);
        writer_u64(w, MDAT_HEADER_BYTES + media_bytes);
}

int recording_header(struct buf **out, const struct recording_track tracks[], size_t count, uint32_t origin_segment, uint64_t media_bytes)
{
        struct source sources[RECORDING_TRACKS_MAX];
        struct writer w;
        *out = NULL;
        assert(count > 0 && count <= RECORDING_TRACKS_MAX);
        for (size_t i = 0; i < count; i++) {
                int err = open_source(&sources[i], &tracks[i], origin_segment);
                if (err)
                        return err;
        }
        writer_init(&w, NULL, 0);
        write_header(&w, sources, count, 0, media_bytes); /* what stands in it does not change how long it is */
        struct buf *header = buf_new(w.len);
        writer_init(&w, header->data, header->len);
        write_header(&w, sources, count, header->len, media_bytes);
        assert(writer_ok(&w) && w.len == header->len);
        *out = header;
        return 0;
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

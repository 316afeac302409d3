#include "originD/recording.h"

#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"

#define TIMESCALE 90000u /* of the movie */
#define MDAT_HEADER_BYTES 16

/* ---- boxes ------------------------------------------------------------------------------------------------------- */

/* Boxes are written, or, without bytes, counted; entries of tables are only counted, and noted in h if there is one. */
struct out {
        struct writer w;
        uint64_t entries; /* bytes, that stand in the file before the writer's place and not in its bytes */
        struct recording_header *h;
};

struct begun {
        size_t at;
        uint64_t entries;
};

static struct begun open_box(struct out *o, const char *type)
{
        struct begun box = {o->w.len, o->entries};
        writer_u32(&o->w, 0);
        writer_bytes(&o->w, type, 4);
        return box;
}

static void close_box(struct out *o, struct begun box)
{
        struct writer size;
        if (!o->w.data) /* it only counts */
                return;
        writer_init(&size, o->w.data + box.at, 4);
        writer_u32(&size, (uint32_t)(o->w.len - box.at + (o->entries - box.entries)));
}

static void write_table(struct out *o, const struct sample_table *t)
{
        struct begun box = open_box(o, t->type);
        writer_u32(&o->w, (uint32_t)t->version << 24);
        if (t->sized)
                writer_u32(&o->w, 0);
        writer_u32(&o->w, (uint32_t)t->column[0]->count);
        uint64_t bytes = sample_table_bytes(t);
        if (o->h)
                o->h->entries[o->h->entries_count++] = (struct recording_entries){*t, o->w.len, o->w.len + o->entries, bytes};
        o->entries += bytes;
        close_box(o, box);
}

static void zeros(struct out *o, size_t n)
{
        while (n--)
                writer_u8(&o->w, 0);
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
static void copy_others(struct out *o, const struct box *parent, uint32_t but, uint32_t and_but)
{
        struct reader r;
        struct box b;
        reader_init(&r, parent->body, parent->body_len);
        while (box_next(&r, &b) > 0)
                if (b.type != but && b.type != and_but)
                        writer_bytes(&o->w, b.start, (size_t)(b.body - b.start) + b.body_len);
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
static void write_tkhd(struct out *o, const struct source *s, uint32_t id)
{
        struct begun at = open_box(o, "tkhd");
        writer_u32(&o->w, 1u << 24 | 3); /* enabled, and part of the movie */
        zeros(o, 8 + 8);             /* made, changed */
        writer_u32(&o->w, id);
        zeros(o, 4);
        writer_u64(&o->w, s->late + s->lasts);
        writer_bytes(&o->w, s->tkhd.body + s->tkhd.body_len - 60, 60); /* layer, volume, matrix, size */
        close_box(o, at);
}

/* A track that begins later than the movie does is preceded by nothing for so long. */
static void write_edts(struct out *o, const struct source *s)
{
        struct begun edts = open_box(o, "edts"), elst = open_box(o, "elst");
        writer_u32(&o->w, 1u << 24);
        writer_u32(&o->w, s->late ? 2 : 1);
        if (s->late) {
                writer_u64(&o->w, s->late);
                writer_i64(&o->w, -1);
                writer_u32(&o->w, 1u << 16);
        }
        writer_u64(&o->w, s->lasts);
        writer_i64(&o->w, 0);
        writer_u32(&o->w, 1u << 16);
        close_box(o, elst);
        close_box(o, edts);
}

static void write_mdhd(struct out *o, const struct source *s)
{
        struct begun at = open_box(o, "mdhd");
        writer_u32(&o->w, 1u << 24);
        zeros(o, 8 + 8);
        writer_u32(&o->w, s->info.timescale);
        writer_u64(&o->w, s->tables->end_ticks - s->tables->start_ticks);
        writer_bytes(&o->w, s->mdhd.body + s->mdhd.body_len - 4, 4); /* language */
        close_box(o, at);
}

static void write_trak(struct out *o, const struct source *s, uint32_t id)
{
        struct begun trak = open_box(o, "trak");
        write_tkhd(o, s, id);
        write_edts(o, s);
        struct begun mdia = open_box(o, "mdia");
        write_mdhd(o, s);
        copy_others(o, &s->mdia, BOX_TYPE('m', 'd', 'h', 'd'), BOX_TYPE('m', 'i', 'n', 'f'));
        struct begun minf = open_box(o, "minf");
        copy_others(o, &s->minf, BOX_TYPE('s', 't', 'b', 'l'), 0);
        struct begun stbl = open_box(o, "stbl");
        writer_bytes(&o->w, s->stsd.start, (size_t)(s->stsd.body - s->stsd.start) + s->stsd.body_len);
        struct sample_table tables[SAMPLE_TABLES_MAX];
        size_t count = sample_tables_list(s->tables, s->info.kind, tables);
        for (size_t i = 0; i < count; i++)
                write_table(o, &tables[i]);
        close_box(o, stbl);
        close_box(o, minf);
        close_box(o, mdia);
        close_box(o, trak);
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

static void write_ftyp(struct out *o)
{
        struct begun at = open_box(o, "ftyp");
        writer_bytes(&o->w, "isom\0\0\2\0isomiso2avc1mp41", 24);
        close_box(o, at);
}

static void write_mvhd(struct out *o, const struct source sources[], size_t count)
{
        static const uint32_t matrix[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
        uint64_t lasts = 0;
        for (size_t i = 0; i < count; i++)
                lasts = sources[i].late + sources[i].lasts > lasts ? sources[i].late + sources[i].lasts : lasts;
        struct begun at = open_box(o, "mvhd");
        writer_u32(&o->w, 1u << 24);
        zeros(o, 8 + 8); /* made, changed */
        writer_u32(&o->w, TIMESCALE);
        writer_u64(&o->w, lasts);
        writer_u32(&o->w, 0x10000);
        writer_u16(&o->w, 0x100);
        zeros(o, 10);
        for (size_t i = 0; i < 9; i++)
                writer_u32(&o->w, matrix[i]);
        zeros(o, 24);
        writer_u32(&o->w, (uint32_t)count + 1);
        close_box(o, at);
}

static void write_header(struct out *o, const struct source sources[], size_t count, uint64_t media_bytes)
{
        write_ftyp(o);
        struct begun at = open_box(o, "moov");
        write_mvhd(o, sources, count);
        for (size_t i = 0; i < count; i++)
                write_trak(o, &sources[i], (uint32_t)i + 1);
        close_box(o, at);
        writer_u32(&o->w, 1); /* its length is of 64 bits, behind its name */
        writer_bytes(&o->w, "mdat", 4);
        writer_u64(&o->w, MDAT_HEADER_BYTES + media_bytes);
}

int recording_header_make(struct recording_header *h, const struct recording_track tracks[], size_t count, uint32_t origin_segment,
                          uint64_t media_bytes)
{
        struct source sources[RECORDING_TRACKS_MAX];
        struct out counted = {.h = NULL}, o = {.h = h};
        *h = (struct recording_header){.boxes = NULL};
        assert(count > 0 && count <= RECORDING_TRACKS_MAX);
        for (size_t i = 0; i < count; i++) {
                int err = open_source(&sources[i], &tracks[i], origin_segment);
                if (err)
                        return err;
        }
        writer_init(&counted.w, NULL, 0);
        write_header(&counted, sources, count, media_bytes); /* what stands in it does not change how long it is */
        h->len = counted.w.len + counted.entries;
        if (h->len > UINT32_MAX) /* which a box may be long, and none of these tables comes near to it */
                return ERR_LIMIT;
        h->boxes = buf_new(counted.w.len);
        writer_init(&o.w, h->boxes->data, h->boxes->len);
        write_header(&o, sources, count, media_bytes);
        assert(writer_ok(&o.w) && o.w.len == h->boxes->len && o.w.len + o.entries == h->len);
        return 0;
}

void recording_header_of(struct recording_header *h, struct buf *bytes)
{
        *h = (struct recording_header){.boxes = bytes, .len = bytes->len};
}

/* What lies in both, of a run of the file that begins at `begin`; it may be none. */
static bool meets(uint64_t begin, uint64_t bytes, uint64_t from, size_t len, uint64_t *first, size_t *n)
{
        uint64_t end = begin + bytes < from + len ? begin + bytes : from + len;
        *first = begin > from ? begin : from;
        *n = *first < end ? (size_t)(end - *first) : 0;
        return *n > 0;
}

void recording_header_read(const struct recording_header *h, uint64_t from, uint8_t *dst, size_t len)
{
        size_t boxes_at = 0;
        uint64_t at = 0, first; /* what comes next, in the file */
        size_t n;
        for (size_t i = 0; i <= h->entries_count; i++) {
                const struct recording_entries *e = i < h->entries_count ? &h->entries[i] : NULL;
                size_t boxes_end = e ? e->at : h->boxes->len;
                if (meets(at, boxes_end - boxes_at, from, len, &first, &n))
                        memcpy(dst + (first - from), h->boxes->data + boxes_at + (first - at), n);
                if (e && meets(e->begin, e->bytes, from, len, &first, &n))
                        sample_table_read(&e->table, h->len, first - e->begin, dst + (first - from), n);
                at = e ? e->begin + e->bytes : at;
                boxes_at = boxes_end;
        }
}

void recording_header_free(struct recording_header *h)
{
        buf_unref(&h->boxes);
        *h = (struct recording_header){.boxes = NULL};
}

int recording_header(struct buf **out, const struct recording_track tracks[], size_t count, uint32_t origin_segment, uint64_t media_bytes)
{
        struct recording_header h;
        int rc = recording_header_make(&h, tracks, count, origin_segment, media_bytes);
        *out = rc ? NULL : buf_new(h.len);
        if (!rc)
                recording_header_read(&h, 0, (*out)->data, (*out)->len);
        recording_header_free(&h);
        return rc;
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

#include "originD/sample_tables.h"

#include <assert.h>
#include <string.h>

#include "common/err.h"

#define ENTRY_MAX 12 /* bytes */
#define NOT_SYNC 0x00010000u /* of a sample's flags: it depends on others */

/* ---- the tables -------------------------------------------------------------------------------------------------- */

static void end_run(struct sample_runs *r)
{
        if (!r->count)
                return;
        column_add(&r->counts, r->count);
        column_add(&r->values, r->value);
        r->count = 0;
}

/* One more sample of that value. */
static void add_to_run(struct sample_runs *r, uint32_t value)
{
        if (r->count && r->value != value)
                end_run(r);
        r->value = value;
        r->count++;
}

/* Samples that lie together, at that place. */
static void add_piece(struct sample_tables *t, uint32_t samples, uint64_t at)
{
        column_add(&t->offsets, at);
        if (t->pieces++ && t->piece_samples == samples)
                return;
        column_add(&t->firsts, t->pieces);
        column_add(&t->counts, samples);
        t->piece_samples = samples;
}

size_t sample_tables_bytes(const struct sample_tables *t)
{
        const struct column *all[SAMPLE_TABLES_COLUMNS] = {&t->durations.counts, &t->durations.values, &t->shifts.counts,
                                                           &t->shifts.values, &t->keys, &t->firsts, &t->counts, &t->sizes, &t->offsets};
        size_t bytes = 0;
        for (size_t i = 0; i < SAMPLE_TABLES_COLUMNS; i++)
                bytes += column_bytes(all[i]);
        return bytes;
}

static void for_all(struct sample_tables *t, void (*what)(struct column *c))
{
        struct column *all[SAMPLE_TABLES_COLUMNS] = {&t->durations.counts, &t->durations.values, &t->shifts.counts,
                                                     &t->shifts.values, &t->keys, &t->firsts, &t->counts, &t->sizes, &t->offsets};
        for (size_t i = 0; i < SAMPLE_TABLES_COLUMNS; i++)
                what(all[i]);
}

/* ---- a chunk ----------------------------------------------------------------------------------------------------- */

struct sample {
        uint32_t duration, size, flags;
        int32_t shift;
};

struct adding {
        struct sample_tables *t;
        struct sample defaults;
        uint64_t ticks, at; /* of the next sample */
        uint64_t moof_at;
};

/* The one before is known to last until here. */
static int end_sample(struct sample_tables *t, uint64_t ticks)
{
        if (!t->samples) {
                t->start_ticks = ticks;
                return 0;
        }
        if (ticks - t->last_ticks > INT32_MAX) /* players read it with a sign */
                return ERR_UNSUPPORTED;
        add_to_run(&t->durations, (uint32_t)(ticks - t->last_ticks));
        return 0;
}

static int add_sample(struct adding *a, const struct sample *s)
{
        struct sample_tables *t = a->t;
        if (t->samples && a->ticks <= t->last_ticks) /* the store lets in nothing that begins so early: a damaged head would end the file */
                a->ticks = t->last_ticks + 1;
        int rc = end_sample(t, a->ticks);
        if (rc)
                return rc;
        t->samples++;
        column_add(&t->sizes, s->size);
        add_to_run(&t->shifts, (uint32_t)s->shift);
        t->shifted |= s->shift != 0;
        if (!(s->flags & NOT_SYNC))
                column_add(&t->keys, t->samples);
        t->last_ticks = a->ticks;
        a->ticks += s->duration;
        a->at += s->size;
        t->end_ticks = a->ticks > t->last_ticks ? a->ticks : t->last_ticks + 1;
        return 0;
}

static int find_in(const struct box *parent, uint32_t type, struct box *out)
{
        struct reader r;
        int rc;
        reader_init(&r, parent->body, parent->body_len);
        while ((rc = box_next(&r, out)) > 0)
                if (out->type == type)
                        return 0;
        return ERR_PROTO;
}

static uint32_t read_flags(struct reader *r)
{
        return reader_u32(r) & 0xffffff; /* behind the version */
}

static int read_defaults(struct adding *a, const struct box *traf, const struct init_info *init)
{
        struct box tfhd;
        struct reader r;
        a->defaults = (struct sample){.duration = init->default_duration, .size = init->default_size};
        if (find_in(traf, BOX_TYPE('t', 'f', 'h', 'd'), &tfhd))
                return ERR_PROTO;
        reader_init(&r, tfhd.body, tfhd.body_len);
        uint32_t flags = read_flags(&r);
        reader_skip(&r, 4 + (flags & 0x01 ? 8 : 0) + (flags & 0x02 ? 4 : 0));
        if (flags & 0x08)
                a->defaults.duration = reader_u32(&r);
        if (flags & 0x10)
                a->defaults.size = reader_u32(&r);
        if (flags & 0x20)
                a->defaults.flags = reader_u32(&r);
        return r.err;
}

static int add_trun(struct adding *a, const struct box *trun)
{
        struct reader r;
        int rc = 0;
        reader_init(&r, trun->body, trun->body_len);
        uint32_t flags = read_flags(&r), count = reader_u32(&r);
        if (flags & 0x01)
                a->at = a->moof_at + reader_u32(&r);
        bool first_differs = flags & 0x04;
        uint32_t first_flags = first_differs ? reader_u32(&r) : 0;
        if (count)
                add_piece(a->t, count, a->at);
        for (uint32_t i = 0; i < count && !rc; i++) {
                struct sample s = a->defaults;
                if (first_differs && i == 0)
                        s.flags = first_flags;
                if (flags & 0x100)
                        s.duration = reader_u32(&r);
                if (flags & 0x200)
                        s.size = reader_u32(&r);
                if (flags & 0x400)
                        s.flags = reader_u32(&r);
                if (flags & 0x800)
                        s.shift = reader_i32(&r);
                rc = r.err ? r.err : add_sample(a, &s);
        }
        return rc;
}

int sample_tables_add(struct sample_tables *t, const struct init_info *init, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes,
                      uint64_t at)
{
        struct chunk_info info;
        struct box moof, traf, b;
        struct reader r;
        assert(!t->ended);
        if (box_chunk_parse_head(head, head_bytes, chunk_bytes, init, &info))
                return ERR_PROTO;
        if (sample_tables_bytes(t) > TABLES_MAX_BYTES || t->samples > UINT32_MAX - info.samples)
                return ERR_LIMIT;
        reader_init(&r, head, head_bytes);
        while (box_next(&r, &moof) > 0 && moof.type != BOX_TYPE('m', 'o', 'o', 'f'))
                ;
        struct adding a = {.t = t, .ticks = info.start_ticks, .moof_at = at + (uint64_t)(moof.start - head)};
        if (find_in(&moof, BOX_TYPE('t', 'r', 'a', 'f'), &traf) || read_defaults(&a, &traf, init))
                return ERR_PROTO;
        int rc = 0;
        reader_init(&r, traf.body, traf.body_len);
        while (!rc && box_next(&r, &b) > 0)
                if (b.type == BOX_TYPE('t', 'r', 'u', 'n'))
                        rc = add_trun(&a, &b);
        return rc;
}

int sample_tables_end(struct sample_tables *t)
{
        if (!t->samples)
                return ERR_PROTO;
        int rc = end_sample(t, t->end_ticks);
        end_run(&t->durations);
        end_run(&t->shifts);
        for_all(t, column_fit);
        t->ended = !rc;
        return rc;
}

void sample_tables_free(struct sample_tables *t)
{
        for_all(t, column_free);
        *t = (struct sample_tables){.samples = 0};
}

/* ---- the boxes --------------------------------------------------------------------------------------------------- */

size_t sample_tables_list(const struct sample_tables *t, enum track_kind kind, struct sample_table out[SAMPLE_TABLES_MAX])
{
        size_t n = 0;
        assert(t->ended);
        out[n++] = (struct sample_table){.type = "stts", .of_one = 2, .columns = 2, .column = {&t->durations.counts, &t->durations.values}};
        if (t->shifted)
                out[n++] = (struct sample_table){.type = "ctts", .version = 1, .of_one = 2, .columns = 2,
                                                 .column = {&t->shifts.counts, &t->shifts.values}};
        if (kind == TRACK_VIDEO)
                out[n++] = (struct sample_table){.type = "stss", .of_one = 1, .columns = 1, .column = {&t->keys}};
        /* Its third word is the sample entry, of which there is one. */
        out[n++] = (struct sample_table){.type = "stsc", .of_one = 3, .columns = 2, .column = {&t->firsts, &t->counts}};
        out[n++] = (struct sample_table){.type = "stsz", .sized = true, .of_one = 1, .columns = 1, .column = {&t->sizes}};
        out[n++] = (struct sample_table){.type = "co64", .of_one = 2, .columns = 1, .wide = true, .column = {&t->offsets}};
        return n;
}

static unsigned entry_bytes(const struct sample_table *t)
{
        return 4 * t->of_one;
}

uint64_t sample_table_bytes(const struct sample_table *t)
{
        return t->column[0]->count * (uint64_t)entry_bytes(t);
}

static void write_entry(uint8_t entry[ENTRY_MAX], const struct sample_table *t, uint64_t base, const uint64_t words[2])
{
        struct writer w;
        writer_init(&w, entry, ENTRY_MAX);
        if (t->wide)
                writer_u64(&w, base + words[0]);
        for (unsigned i = 0; i < t->of_one && !t->wide; i++)
                writer_u32(&w, i < t->columns ? (uint32_t)words[i] : 1);
}

void sample_table_read(const struct sample_table *t, uint64_t base, uint64_t from, uint8_t *dst, size_t len)
{
        uint64_t block[2][COLUMN_BLOCK];
        size_t first = 0, have = 0, size = entry_bytes(t);
        while (len) {
                size_t i = (size_t)(from / size), skip = (size_t)(from % size), n = size - skip < len ? size - skip : len;
                uint8_t entry[ENTRY_MAX];
                if (i >= first + have) {
                        size_t left = t->column[0]->count - i;
                        first = i;
                        have = left < COLUMN_BLOCK ? left : COLUMN_BLOCK;
                        for (unsigned k = 0; k < t->columns; k++)
                                column_read(t->column[k], first, have, block[k]);
                }
                write_entry(entry, t, base, (const uint64_t[2]){block[0][i - first], t->columns > 1 ? block[1][i - first] : 0});
                memcpy(dst, entry + skip, n);
                dst += n;
                from += n;
                len -= n;
        }
}

#include "originD/sample_tables.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

#define NOT_SYNC 0x00010000u /* of a sample's flags: it depends on others */

/* ---- a table ----------------------------------------------------------------------------------------------------- */

static size_t bytes_of(const struct sample_tables *t)
{
        return sizeof(uint32_t) * (t->durations.count + t->shifts.count + t->keys.count + t->chunks.count + t->sizes.count + t->offsets.count);
}

static void push(struct sample_table *t, uint32_t word)
{
        if (t->count == t->cap) {
                t->cap = t->cap ? t->cap * 2 : 256;
                t->words = mem_resize(t->words, t->cap * sizeof(t->words[0]));
        }
        t->words[t->count++] = word;
}

/* One more sample of that value. */
static void push_run(struct sample_table *t, uint32_t value)
{
        if (t->count && t->words[t->count - 1] == value) {
                t->words[t->count - 2]++;
                return;
        }
        push(t, 1);
        push(t, value);
}

/* Samples that lie together, at that place. */
static void push_piece(struct sample_tables *t, uint32_t samples, uint64_t at)
{
        struct sample_table *c = &t->chunks;
        t->pieces++;
        push(&t->offsets, (uint32_t)(at >> 32));
        push(&t->offsets, (uint32_t)at);
        if (c->count && c->words[c->count - 2] == samples)
                return;
        push(c, t->pieces);
        push(c, samples);
        push(c, 1); /* the only sample entry */
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
        push_run(&t->durations, (uint32_t)(ticks - t->last_ticks));
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
        push(&t->sizes, s->size);
        push_run(&t->shifts, (uint32_t)s->shift);
        t->shifted |= s->shift != 0;
        if (!(s->flags & NOT_SYNC))
                push(&t->keys, t->samples);
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
                push_piece(a->t, count, a->at);
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
        if (bytes_of(t) > TABLES_MAX_BYTES || t->samples > UINT32_MAX - info.samples)
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
        t->ended = !rc;
        return rc;
}

/* ---- the boxes --------------------------------------------------------------------------------------------------- */

/* A writer without bytes only counts, and millions of words are counted at once. */
static void write_words(struct writer *w, const struct sample_table *t)
{
        if (!w->data) {
                w->len += t->count * sizeof(uint32_t);
                return;
        }
        for (size_t i = 0; i < t->count; i++)
                writer_u32(w, t->words[i]);
}

static void write_offsets(struct writer *w, const struct sample_table *t, uint64_t base)
{
        if (!w->data) {
                w->len += t->count * sizeof(uint32_t);
                return;
        }
        for (size_t i = 0; i < t->count; i += 2)
                writer_u64(w, base + ((uint64_t)t->words[i] << 32 | t->words[i + 1]));
}

static void begin_table(struct writer *w, const char *type, uint8_t version, size_t fields, const struct sample_table *t, size_t words_of_one)
{
        writer_u32(w, (uint32_t)(4 * (3 + fields + t->count)));
        writer_bytes(w, type, 4);
        writer_u32(w, (uint32_t)version << 24);
        if (fields == 2)
                writer_u32(w, 0); /* stsz: sizes differ */
        writer_u32(w, (uint32_t)(t->count / words_of_one));
}

static void write_table(struct writer *w, const char *type, uint8_t version, const struct sample_table *t, size_t words_of_one)
{
        begin_table(w, type, version, 1, t, words_of_one);
        write_words(w, t);
}

void sample_tables_write(struct writer *w, const struct sample_tables *t, enum track_kind kind, uint64_t base)
{
        assert(t->ended);
        write_table(w, "stts", 0, &t->durations, 2);
        if (t->shifted)
                write_table(w, "ctts", 1, &t->shifts, 2);
        if (kind == TRACK_VIDEO)
                write_table(w, "stss", 0, &t->keys, 1);
        write_table(w, "stsc", 0, &t->chunks, 3);
        begin_table(w, "stsz", 0, 2, &t->sizes, 1);
        write_words(w, &t->sizes);
        begin_table(w, "co64", 0, 1, &t->offsets, 2);
        write_offsets(w, &t->offsets, base);
}

void sample_tables_free(struct sample_tables *t)
{
        struct sample_table *all[] = {&t->durations, &t->shifts, &t->keys, &t->chunks, &t->sizes, &t->offsets};
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                free(all[i]->words);
        *t = (struct sample_tables){.samples = 0};
}

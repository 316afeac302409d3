#include "proto/names.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#define PAGE_ANEW 0x01
#define PAGE_MORE 0x02
#define PAGE_PARTIAL 0x04
#define ROW_GONE 0x01
#define ROW_LIVE 0x02

static_assert(NAMES_HEAD_BYTES + NAMES_PAGE * NAMES_ROW_MAX_BYTES <= BODY_MAX, "a page is one answer");

uint64_t names_stream(const char *stream)
{
        return XXH3_64bits(stream, strlen(stream));
}

uint64_t names_session(const char *stream, const char *session)
{
        char both[STREAM_ID_MAX + SESSION_ID_MAX + 2];
        size_t first = strlen(stream), second = strlen(session);
        assert(first + 1 + second < sizeof(both));
        memcpy(both, stream, first); /* and not snprintf(), which takes longer than all the rest: an edge asks at every hit */
        both[first] = '/';
        memcpy(both + first + 1, session, second);
        return XXH3_64bits(both, first + 1 + second);
}

uint64_t names_track(const char *track)
{
        return XXH3_64bits(track, strlen(track));
}

void names_write_page(struct writer *w, const struct names_page *p)
{
        writer_u64(w, p->instance);
        writer_u64(w, p->next);
        writer_u8(w, (uint8_t)((p->anew ? PAGE_ANEW : 0) | (p->more ? PAGE_MORE : 0) | (p->partial ? PAGE_PARTIAL : 0)));
}

void names_write_row(struct writer *w, const struct names_row *row)
{
        writer_u64(w, row->session);
        writer_u8(w, row->gone ? ROW_GONE : row->live ? ROW_LIVE : 0);
        if (row->gone)
                return;
        writer_u64(w, row->stream);
        writer_u32(w, row->first);
        writer_u32(w, row->last);
        writer_u8(w, row->track_count);
        for (size_t i = 0; i < row->track_count; i++)
                writer_u64(w, row->tracks[i]);
}

int names_read_page(struct reader *r, struct names_page *p)
{
        p->instance = reader_u64(r);
        p->next = reader_u64(r);
        uint8_t flags = reader_u8(r);
        p->anew = flags & PAGE_ANEW;
        p->more = flags & PAGE_MORE;
        p->partial = flags & PAGE_PARTIAL;
        if (flags & ~(PAGE_ANEW | PAGE_MORE | PAGE_PARTIAL))
                reader_fail(r);
        return r->err;
}

int names_read_row(struct reader *r, struct names_row *row)
{
        *row = (struct names_row){.session = reader_u64(r)};
        uint8_t flags = reader_u8(r);
        row->gone = flags == ROW_GONE;
        row->live = flags == ROW_LIVE;
        if (flags > ROW_LIVE)
                reader_fail(r);
        if (row->gone || r->err)
                return r->err;
        row->stream = reader_u64(r);
        row->first = reader_u32(r);
        row->last = reader_u32(r);
        row->track_count = reader_u8(r);
        if (row->track_count > SESSION_TRACKS_MAX)
                reader_fail(r);
        for (size_t i = 0; i < row->track_count && !r->err; i++)
                row->tracks[i] = reader_u64(r);
        return r->err;
}

void names_went(struct names_gone *g, uint64_t change, uint64_t session)
{
        g->at[g->count % NAMES_GONE].change = change;
        g->at[g->count % NAMES_GONE].session = session;
        g->count++;
}

bool names_gone_behind(const struct names_gone *g, uint64_t change, uint64_t *index)
{
        uint64_t oldest = g->count < NAMES_GONE ? 0 : g->count - NAMES_GONE, i = g->count;
        while (i > oldest && g->at[(i - 1) % NAMES_GONE].change > change)
                i--;
        *index = i;
        return i > oldest || oldest == 0;
}

#include "edged/census.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"

#define NOBODY UINT32_MAX /* no entry */
#define FIRST_CAP 1024
#define TRACKS_MAX (2 * SESSION_TRACKS_MAX) /* of one session: nodes need not agree */

/* Of a live session: what each node that has it says. Few of many nodes have it. */
struct live {
        uint32_t count;
        struct told {
                uint32_t source, first, last;
                int64_t wall_us; /* when last was the live edge */
        } by[];
};

struct tracks {
        uint32_t count;
        uint64_t at[];
};

struct entry {
        uint64_t session, stream, change;
        uint32_t chain, before, after; /* of the bucket (or of the free ones), of the order of changes */
        uint32_t last;                 /* segment of one that ended */
        uint64_t sources, seen;        /* bits of nodes: has it; has told it since its list began anew */
        struct live *live;             /* NULL: it ended, as all say */
        struct tracks *tracks;         /* NULL: none is known */
};

/* How many sessions a stream has: open addressing, no gaps. */
struct streams {
        size_t cap, count;
        struct {
                uint64_t stream;
                uint32_t sessions; /* 0: free */
        } *at;
};

struct census {
        pthread_mutex_t lock; /* guards all but sure and full */
        struct entry *at;
        uint32_t *buckets; /* cap of them */
        uint32_t cap, count, used, free, first, newest;
        struct streams streams;
        uint64_t instance, changes;
        struct names_gone gone;
        uint64_t renewing; /* bits of nodes whose list has begun anew and is not whole yet */
        atomic_bool sure, full; /* full: it was, once */
};

static uint64_t bit_of(unsigned source)
{
        return UINT64_C(1) << source;
}

/* ---- streams -------------------------------------------------------------------------------------------------- */

static size_t stream_place(const struct streams *s, uint64_t stream)
{
        size_t i = stream & (s->cap - 1);
        while (s->at[i].sessions && s->at[i].stream != stream)
                i = (i + 1) & (s->cap - 1);
        return i;
}

static void streams_grow(struct streams *s)
{
        struct streams old = *s;
        s->cap = old.cap ? 2 * old.cap : FIRST_CAP;
        s->at = mem_alloc(s->cap * sizeof(*s->at));
        for (size_t i = 0; i < old.cap; i++) {
                if (old.at[i].sessions)
                        s->at[stream_place(s, old.at[i].stream)] = old.at[i];
        }
        free(old.at);
}

static void stream_add(struct streams *s, uint64_t stream)
{
        if (2 * s->count >= s->cap)
                streams_grow(s);
        size_t i = stream_place(s, stream);
        s->count += s->at[i].sessions == 0;
        s->at[i].stream = stream;
        s->at[i].sessions++;
}

static void stream_remove(struct streams *s, uint64_t stream)
{
        size_t i = stream_place(s, stream), mask = s->cap - 1;
        assert(s->at[i].sessions);
        if (--s->at[i].sessions)
                return;
        s->count--;
        for (size_t next = (i + 1) & mask; s->at[next].sessions; next = (next + 1) & mask) { /* who would not be found behind the gap moves into it */
                size_t home = s->at[next].stream & mask;
                if (((next - home) & mask) >= ((next - i) & mask)) {
                        s->at[i] = s->at[next];
                        s->at[next].sessions = 0;
                        i = next;
                }
        }
}

/* ---- sessions; all under the lock ------------------------------------------------------------------------------- */

static uint32_t *bucket_of(struct census *c, uint64_t session)
{
        return &c->buckets[session & (c->cap - 1)];
}

static struct entry *find_entry(struct census *c, uint64_t session)
{
        uint32_t i = c->cap ? *bucket_of(c, session) : NOBODY;
        while (i != NOBODY && c->at[i].session != session)
                i = c->at[i].chain;
        return i == NOBODY ? NULL : &c->at[i];
}

static void grow(struct census *c)
{
        c->cap = c->cap ? 2 * c->cap : FIRST_CAP;
        c->at = mem_resize(c->at, c->cap * sizeof(*c->at));
        c->buckets = mem_resize(c->buckets, c->cap * sizeof(*c->buckets));
        memset(c->buckets, 0xff, c->cap * sizeof(*c->buckets));
        for (uint32_t i = 0; i < c->used; i++) { /* all are in use: the free ones went first */
                uint32_t *bucket = bucket_of(c, c->at[i].session);
                c->at[i].chain = *bucket;
                *bucket = i;
        }
}

static uint32_t index_of(const struct census *c, const struct entry *e)
{
        return e ? (uint32_t)(e - c->at) : NOBODY;
}

static void order_unlink(struct census *c, struct entry *e)
{
        *(e->before != NOBODY ? &c->at[e->before].after : &c->first) = e->after;
        *(e->after != NOBODY ? &c->at[e->after].before : &c->newest) = e->before;
}

static void order_append(struct census *c, struct entry *e)
{
        uint32_t i = index_of(c, e);
        e->change = ++c->changes;
        e->before = c->newest;
        e->after = NOBODY;
        *(c->newest != NOBODY ? &c->at[c->newest].after : &c->first) = i;
        c->newest = i;
}

static struct entry *add_entry(struct census *c, const struct names_row *row)
{
        if (c->free == NOBODY && c->used == c->cap)
                grow(c);
        uint32_t i = c->free != NOBODY ? c->free : c->used++;
        struct entry *e = &c->at[i];
        if (i == c->free)
                c->free = e->chain;
        uint32_t *bucket = bucket_of(c, row->session);
        *e = (struct entry){.session = row->session, .stream = row->stream, .chain = *bucket, .before = NOBODY, .after = NOBODY};
        *bucket = i;
        c->count++;
        stream_add(&c->streams, row->stream);
        order_append(c, e);
        return e;
}

static void drop_entry(struct census *c, struct entry *e)
{
        uint32_t i = index_of(c, e), *at = bucket_of(c, e->session);
        while (*at != i)
                at = &c->at[*at].chain;
        *at = e->chain;
        order_unlink(c, e);
        stream_remove(&c->streams, e->stream);
        names_went(&c->gone, ++c->changes, e->session);
        free(e->live);
        free(e->tracks);
        *e = (struct entry){.chain = c->free};
        c->free = i;
        c->count--;
}

static bool has_track(const struct entry *e, uint64_t track)
{
        for (uint32_t i = 0; e->tracks && i < e->tracks->count; i++) {
                if (e->tracks->at[i] == track)
                        return true;
        }
        return false;
}

/* Whether it was not known. */
static bool add_track(struct entry *e, uint64_t track)
{
        uint32_t count = e->tracks ? e->tracks->count : 0;
        if (count == TRACKS_MAX || has_track(e, track))
                return false;
        e->tracks = mem_resize(e->tracks, sizeof(*e->tracks) + (count + 1) * sizeof(e->tracks->at[0]));
        e->tracks->at[count] = track;
        e->tracks->count = count + 1;
        return true;
}

static struct told *find_told(struct live *l, unsigned source)
{
        for (uint32_t i = 0; l && i < l->count; i++) {
                if (l->by[i].source == source)
                        return &l->by[i];
        }
        return NULL;
}

/* That node does not say any more that it is live. */
static bool end_live(struct entry *e, unsigned source)
{
        struct told *told = find_told(e->live, source);
        if (!told)
                return false;
        *told = e->live->by[--e->live->count];
        if (e->live->count == 0) {
                free(e->live);
                e->live = NULL;
        }
        return true;
}

static void tell_live(struct entry *e, unsigned source, const struct names_row *row, int64_t wall_us)
{
        struct told *told = find_told(e->live, source);
        if (!told) {
                uint32_t count = e->live ? e->live->count : 0;
                e->live = mem_resize(e->live, sizeof(*e->live) + (count + 1) * sizeof(*told));
                e->live->count = count + 1;
                told = &e->live->by[count];
        }
        *told = (struct told){.source = source, .first = row->first, .last = row->last, .wall_us = wall_us};
}

static void leave_source(struct census *c, struct entry *e, unsigned source)
{
        end_live(e, source);
        e->sources &= ~bit_of(source);
        if (e->sources == 0)
                drop_entry(c, e);
}

static void take_row(struct census *c, unsigned source, const struct names_row *row, int64_t wall_us)
{
        struct entry *e = find_entry(c, row->session);
        uint64_t bit = bit_of(source);
        if (row->gone) {
                if (e && e->sources & bit)
                        leave_source(c, e, source);
                return;
        }
        if (!e && c->count == CENSUS_SESSIONS_MAX) {
                atomic_store(&c->full, true);
                return;
        }
        bool news = !e || row->live; /* a live one's edge is told anew with whatever it changed for */
        if (!e)
                e = add_entry(c, row);
        e->sources |= bit;
        e->seen |= bit;
        if (row->live)
                tell_live(e, source, row, wall_us);
        else
                news |= end_live(e, source);
        for (uint8_t i = 0; i < row->track_count; i++)
                news |= add_track(e, row->tracks[i]);
        if (!row->live && row->last > e->last) {
                e->last = row->last;
                news = true;
        }
        if (news) {
                order_unlink(c, e);
                order_append(c, e);
        }
}

/* What a node has not told again since its list began anew is not there any more. */
static void sweep(struct census *c, unsigned source, bool begin)
{
        uint64_t bit = bit_of(source);
        for (uint32_t i = 0; i < c->used; i++) {
                struct entry *e = &c->at[i];
                if (begin)
                        e->seen &= ~bit;
                else if (e->sources & bit && !(e->seen & bit))
                        leave_source(c, e, source);
        }
}

/* ---- the loop thread's --------------------------------------------------------------------------------------------- */

struct census *census_open(void)
{
        struct census *c = mem_alloc(sizeof(*c));
        pthread_mutex_init(&c->lock, NULL);
        c->free = c->first = c->newest = NOBODY;
        c->instance = (uint64_t)clock_real_us();
        streams_grow(&c->streams);
        return c;
}

void census_close(struct census *c)
{
        for (uint32_t i = 0; i < c->used; i++) {
                free(c->at[i].live);
                free(c->at[i].tracks);
        }
        free(c->at);
        free(c->buckets);
        free(c->streams.at);
        pthread_mutex_destroy(&c->lock);
        free(c);
}

int census_take(struct census *c, unsigned source, const struct buf *page, int64_t wall_us, struct names_page *head)
{
        struct reader r;
        struct names_row row;
        assert(source < CENSUS_SOURCES);
        reader_init(&r, page->data, page->len);
        int err = names_read_page(&r, head);
        if (err)
                return err;
        pthread_mutex_lock(&c->lock);
        if (head->anew) {
                sweep(c, source, true);
                c->renewing |= bit_of(source);
        }
        while (!err && reader_left(&r)) {
                err = names_read_row(&r, &row);
                if (!err)
                        take_row(c, source, &row, wall_us);
        }
        if (!err && !head->more && !head->partial && c->renewing & bit_of(source)) { /* one that starts tells the rest in a while */
                sweep(c, source, false);
                c->renewing &= ~bit_of(source);
        }
        pthread_mutex_unlock(&c->lock);
        return err;
}

void census_forget(struct census *c, unsigned source)
{
        pthread_mutex_lock(&c->lock);
        sweep(c, source, true);
        sweep(c, source, false);
        pthread_mutex_unlock(&c->lock);
}

void census_settle(struct census *c, bool sure)
{
        atomic_store_explicit(&c->sure, sure, memory_order_relaxed);
}

bool census_is_sure(const struct census *c)
{
        return atomic_load_explicit(&c->sure, memory_order_relaxed) && !atomic_load_explicit(&c->full, memory_order_relaxed);
}

void census_saw(struct census *c, const struct key *key)
{
        if (!*key->track)
                return;
        pthread_mutex_lock(&c->lock);
        struct entry *e = find_entry(c, names_session(key->stream, key->session));
        if (e)
                add_track(e, names_track(key->track));
        pthread_mutex_unlock(&c->lock);
}

size_t census_sessions(struct census *c)
{
        pthread_mutex_lock(&c->lock);
        size_t n = c->count;
        pthread_mutex_unlock(&c->lock);
        return n;
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static void span(const struct entry *e, int64_t wall_us, uint32_t *first, uint32_t *last)
{
        int64_t most = e->last;
        *first = e->live ? UINT32_MAX : 0;
        for (uint32_t i = 0; e->live && i < e->live->count; i++) {
                int64_t since_us = wall_us - e->live->by[i].wall_us, edge = e->live->by[i].last + (since_us > 0 ? since_us / SEGMENT_US : 0);
                most = edge > most ? edge : most;
                *first = e->live->by[i].first < *first ? e->live->by[i].first : *first;
        }
        *last = most > UINT32_MAX ? UINT32_MAX : (uint32_t)most;
}

/* Of a recording there is one whole; of clips, and of files that pieces may be of, there are as many as somebody can invent names. */
static bool is_invented_easily(const struct key *key)
{
        return key->kind == KEY_PIECE || (key->kind == KEY_FACTS && (key->from > 0 || key->to != UINT32_MAX));
}

static enum census_says judge_key(const struct entry *e, const struct key *key, int64_t wall_us)
{
        if (is_invented_easily(key))
                return CENSUS_PERHAPS;
        if (key->kind == KEY_MANIFEST || (key->kind == KEY_FACTS && !*key->track))
                return CENSUS_THERE;
        bool known = has_track(e, names_track(key->track));
        uint32_t first, last;
        span(e, wall_us, &first, &last);
        if (key->kind == KEY_PLAYLIST && key->waits && key->segment > (uint64_t)last + CENSUS_NEAR_SEGMENTS)
                return CENSUS_FAR;
        if (key->kind == KEY_PLAYLIST && key->waits && (uint64_t)key->segment + CENSUS_PAST_SEGMENTS < last)
                return CENSUS_PAST;
        if (key->kind != KEY_SEGMENT && key->kind != KEY_PICTURE)
                return known ? CENSUS_THERE : CENSUS_PERHAPS;
        if (key->segment < first || key->segment > (uint64_t)last + CENSUS_FAR_SEGMENTS)
                return CENSUS_FAR;
        return known && key->segment <= (uint64_t)last + CENSUS_NEAR_SEGMENTS ? CENSUS_THERE : CENSUS_PERHAPS;
}

enum census_says census_ask(struct census *c, const struct key *key, int64_t wall_us)
{
        enum census_says says = CENSUS_UNKNOWN;
        if (key->kind < KEY_ENTRY || key->kind > KEY_PIECE)
                return CENSUS_THERE;
        pthread_mutex_lock(&c->lock);
        if (key->kind == KEY_ENTRY) {
                if (c->streams.at[stream_place(&c->streams, names_stream(key->stream))].sessions)
                        says = CENSUS_THERE;
        } else {
                const struct entry *e = find_entry(c, names_session(key->stream, key->session));
                says = e ? judge_key(e, key, wall_us) : CENSUS_UNKNOWN;
        }
        pthread_mutex_unlock(&c->lock);
        return (says == CENSUS_UNKNOWN || says == CENSUS_FAR) && !census_is_sure(c) ? CENSUS_PERHAPS : says;
}

bool census_edge(struct census *c, const struct key *key, int64_t wall_us, uint32_t *first, uint32_t *last)
{
        pthread_mutex_lock(&c->lock);
        const struct entry *e = find_entry(c, names_session(key->stream, key->session));
        bool live = e && e->live;
        if (live)
                span(e, wall_us, first, last);
        pthread_mutex_unlock(&c->lock);
        return live;
}

/* ---- for the tier below --------------------------------------------------------------------------------------------- */

bool census_has_news(struct census *c, uint64_t instance, uint64_t since)
{
        pthread_mutex_lock(&c->lock);
        bool news = instance != c->instance || since != c->changes || !census_is_sure(c);
        pthread_mutex_unlock(&c->lock);
        return news;
}

static void write_entry(struct writer *w, const struct entry *e, int64_t wall_us)
{
        struct names_row row = {.session = e->session, .stream = e->stream, .live = e->live != NULL};
        span(e, wall_us, &row.first, &row.last);
        for (uint32_t i = 0; e->tracks && i < e->tracks->count && i < SESSION_TRACKS_MAX; i++)
                row.tracks[row.track_count++] = e->tracks->at[i];
        names_write_row(w, &row);
}

/* The first that changed behind it. */
static uint32_t behind(const struct census *c, uint64_t since)
{
        uint32_t i = NOBODY, earlier = c->newest;
        if (since == 0)
                return c->first;
        while (earlier != NOBODY && c->at[earlier].change > since) {
                i = earlier;
                earlier = c->at[earlier].before;
        }
        return i;
}

struct buf *census_page(struct census *c, uint64_t instance, uint64_t since, int64_t wall_us)
{
        static uint8_t bytes[NAMES_HEAD_BYTES + NAMES_PAGE * NAMES_ROW_MAX_BYTES]; /* loop thread only */
        struct writer w, head;
        uint64_t gone;
        size_t rows = 0;
        writer_init(&w, bytes, sizeof(bytes));
        writer_init(&head, bytes, NAMES_HEAD_BYTES);
        pthread_mutex_lock(&c->lock);
        if (instance != c->instance || since > c->changes || !names_gone_behind(&c->gone, since, &gone))
                since = 0;
        if (since == 0)
                gone = c->gone.count; /* who has nothing has nothing to forget */
        struct names_page page = {.instance = c->instance, .next = c->changes, .anew = since == 0, .partial = !census_is_sure(c)};
        names_write_page(&w, &page);
        uint32_t i = behind(c, since);
        for (; rows < NAMES_PAGE && (i != NOBODY || gone < c->gone.count); rows++) {
                bool went = gone < c->gone.count && (i == NOBODY || c->gone.at[gone % NAMES_GONE].change < c->at[i].change);
                page.next = went ? c->gone.at[gone % NAMES_GONE].change : c->at[i].change;
                if (went) {
                        names_write_row(&w, &(struct names_row){.session = c->gone.at[gone++ % NAMES_GONE].session, .gone = true});
                } else {
                        write_entry(&w, &c->at[i], wall_us);
                        i = c->at[i].after;
                }
        }
        page.more = i != NOBODY || gone < c->gone.count;
        if (!page.more)
                page.next = c->changes;
        pthread_mutex_unlock(&c->lock);
        names_write_page(&head, &page);
        return buf_copy(bytes, w.len);
}

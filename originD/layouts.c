#include "originD/layouts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/log/heads.h"
#include "originD/ondemand.h"
#include "originD/stats.h"

#define AGAIN_US (2 * US_PER_S)
#define WANTED_US (60 * US_PER_S) /* a volume stays so long for who was answered 503, and asks again */
#define VOLUMES_OF_ONE 65536 /* a year and more of the usual ones */
#define SECOND_BYTES 2048      /* of a track's tables, at most: 60 pictures take a quarter of it */
#define STEP_BYTES (RECORDING_TRACKS_MAX * SAMPLE_TABLES_COLUMNS * COLUMN_STEP_BYTES)
#define HEADER_BYTES (1u << 20) /* of boxes, or an index, when it is made */
#define TABLES_BYTES (RECORDING_TRACKS_MAX * (TABLES_MAX_BYTES + sizeof(struct sample_tables)) + STEP_BYTES)
static_assert(TABLES_BYTES + VOLUMES_OF_ONE * sizeof(struct layout_volume) + HEADER_BYTES <= LAYOUTS_BYTES_MAX,
              "the largest is made when it has all to itself");

/* One look at the files of a volume, or the last step. It owns what it reads by, for the layout may be given up meanwhile. */
struct layout_job {
        struct layout_making *making;
        bool last;
        uint32_t number;
        struct recording_part part; /* copied rows */
        uint64_t begin;             /* of the volume's part among the media */
        uint64_t identity;          /* before it */
        size_t most_bytes;          /* that the tables may take when it is over */
        int status;
        bool headless;              /* nothing of it was read, for its heads are in the archive alone */
};

/* A layout that is not made yet. */
struct layout_making {
        struct layouts *ls;    /* NULL: there are none any more */
        struct layout *layout; /* NULL: nobody wants it any more */
        struct layout_making *next_leaving;
        uint64_t begun;        /* the one that began sooner goes on first */
        size_t reserved;       /* bytes that it may take until its job is over */
        struct session *s;     /* pinned while a job is under way */
        struct layout_job *job; /* NULL: none is */
        bool lacks_room;
        bool wants;    /* the volume `wanted` is on its way from the archive, for its heads */
        uint32_t wanted;
        uint64_t next; /* the volume from which on it goes on: rows may come before it meanwhile, of what is lacking */
        size_t track_count;
        uint32_t origin_segment;
        uint64_t media_bytes, identity;
        struct {
                char *dir;
                struct buf *init;
                struct init_info info;
        } tracks[RECORDING_TRACKS_MAX];
        struct sample_tables *tables; /* a track each; the layout's, when it is made */
        struct ondemand ondemand;     /* of a track on demand: instead of tables */
        struct recording_header header;
};

static void free_tables(struct sample_tables **tp)
{
        struct sample_tables *tables = *tp;
        *tp = NULL;
        for (size_t t = 0; t < RECORDING_TRACKS_MAX && tables; t++)
                sample_tables_free(&tables[t]);
        free(tables);
}

static void free_making(struct layout_making **mp)
{
        struct layout_making *m = *mp;
        *mp = NULL;
        for (size_t t = 0; t < m->track_count; t++) {
                free(m->tracks[t].dir);
                buf_unref(&m->tracks[t].init);
        }
        free_tables(&m->tables);
        ondemand_free(&m->ondemand);
        recording_header_free(&m->header);
        free(m);
}

/* A job that is under way comes back to nothing, and what it takes counts until then. */
static void forget_making(struct layouts *ls, struct layout_making **mp)
{
        struct layout_making *m = *mp;
        *mp = NULL;
        ls->freed++;
        if (!m->job) {
                free_making(&m);
                return;
        }
        m->layout = NULL;
        m->next_leaving = ls->leaving;
        ls->leaving = m;
}

static void forget_layout(struct layouts *ls, struct layout *l)
{
        if (l->making)
                forget_making(ls, &l->making);
        recording_header_free(&l->header);
        free_tables(&l->tables);
        free(l->volumes);
        *l = (struct layout){.taken = false};
}

static size_t tables_bytes(const struct sample_tables *tables)
{
        size_t bytes = 0;
        for (size_t t = 0; t < RECORDING_TRACKS_MAX && tables; t++)
                bytes += sample_tables_bytes(&tables[t]) + sizeof(tables[t]);
        return bytes;
}

/* ---- on the pool ------------------------------------------------------------------------------------------------- */

/* Of one track in the volume: its segments' places among the media, in turn. */
struct reading {
        struct layout_job *job;
        size_t track, row;
        const uint64_t *places; /* of its rows */
};

static int take_head(void *arg, uint64_t offset, const uint8_t *head, size_t head_bytes, uint64_t chunk_bytes)
{
        struct reading *r = arg;
        struct layout_making *m = r->job->making;
        if (!head) {
                r->row++;
                return 0;
        }
        uint64_t at = r->places[r->row] + (offset - r->job->part.rows[r->track][r->row].offset);
        int rc = sample_tables_add(&m->tables[r->track], &m->tracks[r->track].info, head, head_bytes, chunk_bytes, at);
        return !rc && tables_bytes(m->tables) > r->job->most_bytes ? ERR_LIMIT : rc;
}

static void read_volume(struct layout_job *j)
{
        struct layout_making *m = j->making;
        struct recording_cursor c = {.offset = 0};
        struct recording_piece piece;
        uint64_t *places[RECORDING_TRACKS_MAX];
        for (size_t t = 0; t < m->track_count; t++)
                places[t] = mem_alloc((j->part.count[t] + 1) * sizeof(uint64_t));
        while (recording_next(&c, &j->part, &piece))
                places[piece.track][piece.row] = j->begin + piece.offset;
        for (size_t t = 0; t < m->track_count && !j->status; t++) {
                struct volume_track vt = {.dir = m->tracks[t].dir};
                j->status = j->part.count[t] ? heads_look(&vt, j->number) : 0;
                j->headless = j->status == ERR_NOT_FOUND;
        }
        for (size_t t = 0; t < m->track_count; t++) {
                struct volume_track vt = {.dir = m->tracks[t].dir, .info = &m->tracks[t].info, .init = m->tracks[t].init};
                struct reading r = {.job = j, .track = t, .places = places[t]};
                if (!j->status && j->part.count[t])
                        j->status = heads_read(&vt, j->number, j->part.rows[t], j->part.count[t], take_head, &r);
                free(places[t]);
        }
}

static void write_header(struct layout_job *j)
{
        struct layout_making *m = j->making;
        struct recording_track tracks[RECORDING_TRACKS_MAX];
        size_t count = 0;
        for (size_t t = 0; t < m->track_count && !j->status; t++) {
                if (!m->tables[t].samples) /* all of it is lacking */
                        continue;
                j->status = sample_tables_end(&m->tables[t]);
                tracks[count++] = (struct recording_track){m->tracks[t].init, &m->tables[t]};
        }
        if (!j->status)
                j->status = count ? recording_header_make(&m->header, tracks, count, m->origin_segment, m->media_bytes) : ERR_NOT_FOUND;
}

static void layout_work(void *arg)
{
        struct layout_job *j = arg;
        if (j->last)
                write_header(j);
        else
                read_volume(j);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void fail_layout(struct layout *l, int status)
{
        forget_making(l->making->ls, &l->making);
        l->failed = status;
        l->again_us = clock_mono_us() + AGAIN_US;
        log_warn("session=%s msg=\"a recording cannot be made one file\" error=\"%s\"", l->session, err_text(status));
}

/* That it takes in memory, or may take until its job is over. */
static size_t bytes_of(const struct layout *l)
{
        const struct layout_making *m = l->making;
        size_t bytes = tables_bytes(l->tables) + (l->header.boxes ? l->header.boxes->len : 0) + l->volume_count * sizeof(l->volumes[0]);
        if (m)
                bytes += m->job ? m->reserved : tables_bytes(m->tables) + m->ondemand.count * sizeof(m->ondemand.bytes[0]);
        return bytes;
}

size_t layouts_bytes(const struct layouts *ls)
{
        size_t bytes = 0;
        for (size_t i = 0; i < LAYOUTS_MAX; i++)
                bytes += bytes_of(&ls->all[i]);
        for (const struct layout_making *m = ls->leaving; m; m = m->next_leaving)
                bytes += m->reserved;
        return bytes;
}

static bool is_idle(const struct layout *l)
{
        return l->making && !l->making->job && clock_mono_us() - l->used_us > LAYOUTS_ASKED_US;
}

/* What is kept, the one that was unused longest first; then what is being made too, and nobody has asked for lately, or began later.
 * NULL: there is none. */
static struct layout *first_to_go(struct layouts *ls, const struct layout *to)
{
        struct layout *kept = NULL, *making = NULL;
        for (size_t i = 0; i < LAYOUTS_MAX; i++) {
                struct layout *l = &ls->all[i];
                const struct layout_making *m = l->making;
                if (l->header.boxes && (!kept || l->used_us < kept->used_us))
                        kept = l;
                bool may_go = m && l != to && !m->job && (is_idle(l) || m->begun > to->making->begun);
                if (may_go && (!making || m->begun > making->making->begun))
                        making = l;
        }
        return kept ? kept : making;
}

/* So many bytes more for one that is being made. false: others that take them are at work, or began before. */
static bool make_room(struct layouts *ls, const struct layout *to, size_t more)
{
        to->making->lacks_room = false;
        while (layouts_bytes(ls) + more > ls->most_bytes) {
                struct layout *first = first_to_go(ls, to);
                to->making->lacks_room = !first;
                if (!first)
                        return false;
                forget_layout(ls, first);
        }
        return true;
}

static bool is_clip(const struct recording_wish *w)
{
        return w->from > 0 || w->to != UINT32_MAX;
}

static void made(struct layout *l)
{
        struct layout_making *m = l->making;
        l->header = m->header;
        m->header = (struct recording_header){.boxes = NULL};
        l->tables = m->tables;
        m->tables = NULL;
        l->size = l->header.len + m->media_bytes;
        l->identity = is_clip(&l->wish) ? m->identity : l->facts;
        for (size_t i = 0; i < l->volume_count; i++)
                l->volumes[i].begin += l->header.len;
        forget_making(m->ls, &l->making);
}

/* The volumes of this number are needed here. false: none is in the archive. */
static bool want_volumes(const struct layout_making *m, const struct recording_tracks *c)
{
        bool any = false;
        for (size_t t = 0; t < c->count; t++)
                any |= chunk_log_want_file(c->tracks[t]->log, m->wanted, clock_mono_us() + WANTED_US);
        return any;
}

/* As if the volume had not been looked at. */
static bool take_back(struct layout_making *m, const struct layout_job *j)
{
        struct recording_tracks c;
        bool again = m->wants && m->wanted == j->number;
        recording_choose(&c, m->s, &m->layout->wish);
        m->wanted = j->number;
        m->wants = j->headless && want_volumes(m, &c);
        if (!m->wants)
                return false;
        if (!again)
                log_info("session=%s volume=%06u msg=\"a recording is laid out whose heads are in the archive: the volume is brought back\"",
                         m->layout->session, j->number);
        m->next = j->number;
        m->media_bytes = j->begin;
        m->identity = j->identity;
        m->layout->volume_count--;
        return true;
}

static void free_job(struct layout_job *j)
{
        for (size_t t = 0; t < RECORDING_TRACKS_MAX; t++)
                free((void *)(uintptr_t)j->part.rows[t]);
        free(j);
}

static void end_leaving(struct layout_making *m)
{
        struct layout_making **at = m->ls ? &m->ls->leaving : NULL;
        while (at && *at != m)
                at = &(*at)->next_leaving;
        if (at)
                *at = m->next_leaving;
        free_making(&m);
}

static void after(void *arg)
{
        struct layout_job *j = arg;
        struct layout_making *m = j->making;
        struct session *s = m->s;
        struct layouts *ls = m->ls;
        bool wanted = m->layout;
        s->pins--;
        s->reads--;
        m->job = NULL;
        if (!wanted)
                end_leaving(m);
        else if (j->status && take_back(m, j))
                ;
        else if (j->status)
                fail_layout(m->layout, j->status == ERR_NOT_FOUND && !j->last ? ERR_IO : j->status);
        else if (j->last)
                made(m->layout);
        free_job(j);
        if (!ls)
                return;
        ls->freed++;
        stat_set(STAT_LAYOUT_BYTES, (int64_t)layouts_bytes(ls));
        ls->changed(ls->arg, s);
}

static void copy_rows(struct recording_part *to, const struct recording_part *from)
{
        for (size_t t = 0; t < RECORDING_TRACKS_MAX; t++) {
                size_t bytes = from->count[t] * sizeof(from->rows[t][0]);
                struct index_row *rows = bytes ? mem_alloc(bytes) : NULL;
                if (bytes)
                        memcpy(rows, from->rows[t], bytes);
                to->rows[t] = rows;
                to->count[t] = from->count[t];
        }
}

/* Up to how many bytes the tables may grow with this one. */
static size_t most_bytes(const struct layout_making *m, const struct layout_job *j)
{
        size_t now = tables_bytes(m->tables), more = j->last ? 0 : STEP_BYTES;
        for (size_t t = 0; t < RECORDING_TRACKS_MAX; t++)
                more += j->part.count[t] * SECOND_BYTES;
        return now + more < TABLES_BYTES ? now + more : TABLES_BYTES;
}

static enum segment_state begin_job(struct layout_making *m, struct session *s, struct layout_job *j)
{
        size_t now = tables_bytes(m->tables);
        j->most_bytes = most_bytes(m, j);
        m->reserved = j->most_bytes + (j->last ? HEADER_BYTES : 0);
        if (!make_room(m->ls, m->layout, m->reserved > now ? m->reserved - now : 0)) {
                free_job(j);
                return SEGMENT_LOADING;
        }
        j->making = m;
        m->job = j;
        m->s = s;
        s->pins++;
        s->reads++;
        stat_add(STAT_DISK_READS, 1);
        if (!disk_run(m->ls->loop, DISK_COLD, layout_work, after, j))
                return SEGMENT_LOADING;
        s->pins--;
        s->reads--;
        m->job = NULL;
        free_job(j);
        return SEGMENT_BUSY;
}

static void add_volume(struct layout *l, uint32_t number, const struct recording_part *part)
{
        struct layout_making *m = l->making;
        if ((l->volume_count & (l->volume_count - 1)) == 0)
                l->volumes = mem_resize(l->volumes, (l->volume_count ? l->volume_count * 2 : 1) * sizeof(l->volumes[0]));
        l->volumes[l->volume_count++] = (struct layout_volume){number, m->media_bytes};
        m->media_bytes += recording_part_bytes(part);
        m->identity = recording_add_identity(m->identity, part);
        m->next = (uint64_t)number + 1;
}

/* Of a track on demand nothing but the indexes is looked at: here, and of all volumes at once whose indexes are in memory. */
static enum segment_state go_on_ondemand(struct layout *l, const struct recording_tracks *c, bool may_read)
{
        struct layout_making *m = l->making;
        struct layouts *ls = m->ls;
        struct recording_volume v;
        struct recording_part part;
        if (!make_room(ls, l, HEADER_BYTES))
                return SEGMENT_LOADING;
        for (;;) {
                int rc = 0;
                if (!recording_next_volume(c, m->next, &v)) {
                        struct buf *bytes;
                        rc = ondemand_header(&bytes, &m->ondemand, m->tracks[0].init, &m->tracks[0].info);
                        if (rc) {
                                fail_layout(l, rc);
                                return SEGMENT_UNREADABLE;
                        }
                        recording_header_of(&m->header, bytes);
                        made(l);
                        stat_set(STAT_LAYOUT_BYTES, (int64_t)layouts_bytes(ls));
                        return SEGMENT_HERE;
                }
                enum segment_state state = recording_open_volume(c, &v, may_read, &part);
                if (state != SEGMENT_HERE)
                        return state;
                for (size_t i = 0; i < part.count[0] && !rc; i++)
                        rc = ondemand_add(&m->ondemand, &part.rows[0][i]);
                if (rc || l->volume_count >= VOLUMES_OF_ONE) {
                        fail_layout(l, rc ? rc : ERR_LIMIT);
                        return SEGMENT_UNREADABLE;
                }
                add_volume(l, v.number, &part);
        }
}

/* A volume is, for its heads. When they were read it may go again. */
static bool is_on_its_way(struct layout_making *m, const struct recording_tracks *c)
{
        if (m->next <= m->wanted)
                return want_volumes(m, c);
        for (size_t t = 0; t < c->count; t++)
                chunk_log_let_go(c->tracks[t]->log, m->wanted);
        m->wants = false;
        return false;
}

/* The next step, if nothing is under way. */
static enum segment_state go_on(struct layout *l, const struct recording_tracks *c, struct session *s, bool may_read)
{
        struct layout_making *m = l->making;
        struct recording_volume v;
        struct recording_part part;
        if (m->job)
                return SEGMENT_LOADING;
        if (!may_read)
                return SEGMENT_UNREAD;
        if (m->wants && is_on_its_way(m, c))
                return SEGMENT_LOADING;
        struct layout_job *j;
        if (recording_next_volume(c, m->next, &v)) {
                if (l->volume_count >= VOLUMES_OF_ONE) {
                        fail_layout(l, ERR_LIMIT);
                        return SEGMENT_UNREADABLE;
                }
                enum segment_state state = recording_open_volume(c, &v, may_read, &part);
                if (state != SEGMENT_HERE)
                        return state;
                j = mem_alloc(sizeof(*j));
                *j = (struct layout_job){.number = v.number, .begin = m->media_bytes, .identity = m->identity};
                copy_rows(&j->part, &part);
        } else {
                j = mem_alloc(sizeof(*j));
                *j = (struct layout_job){.last = true};
        }
        bool last = j->last;
        enum segment_state state = begin_job(m, s, j);
        if (!m->job || last)
                return state;
        add_volume(l, v.number, &part);
        return SEGMENT_LOADING;
}

static bool is_wished(const struct layout *l, const struct recording_wish *w)
{
        return strcmp(l->wish.track, w->track) == 0 && l->wish.from == w->from && l->wish.to == w->to && l->wish.ondemand == w->ondemand;
}

static struct layout *find_layout(struct layouts *ls, const struct session *s, const struct recording_wish *w)
{
        for (size_t i = 0; i < LAYOUTS_MAX; i++) {
                struct layout *l = &ls->all[i];
                if (l->taken && strcmp(l->session, s->id) == 0 && is_wished(l, w))
                        return l;
        }
        return NULL;
}

/* A free place, or that of the one that was unused longest. What is being made gives way only when nobody asks for it. NULL: there is none now. */
static struct layout *place_for_one(struct layouts *ls)
{
        struct layout *idle = NULL, *kept = NULL;
        unsigned making = 0;
        for (const struct layout_making *m = ls->leaving; m; m = m->next_leaving)
                making++;
        for (size_t i = 0; i < LAYOUTS_MAX; i++) {
                struct layout *l = &ls->all[i];
                making += l->making != NULL;
                if (is_idle(l))
                        idle = l;
                if (!l->making && (!kept || !l->taken || (kept->taken && l->used_us < kept->used_us)))
                        kept = l;
        }
        struct layout *found = making >= LAYOUTS_MAKING_MAX || !kept ? idle : kept;
        if (found)
                forget_layout(ls, found);
        return found;
}

/* false: of a track on demand nothing is there. */
static bool begin_ondemand(struct layout_making *m, const struct session *s, const struct recording_tracks *c)
{
        const struct track *t = c->tracks[0];
        uint32_t first, end;
        if (!ondemand_span(s, t, c->from, c->to, &first, &end))
                return false;
        uint64_t whole = (uint64_t)end * t->init.timescale, over = (uint64_t)track_facts(s, t).end_us * t->init.timescale / US_PER_S;
        ondemand_begin(&m->ondemand, first, end, whole < over ? whole : over);
        return true;
}

static void begin_layout(struct layouts *ls, struct layout *l, const struct session *s, const struct recording_wish *w,
                         const struct recording_tracks *c)
{
        struct layout_making *m = mem_alloc(sizeof(*m));
        *l = (struct layout){.taken = true, .wish = *w, .making = m, .version = s->version, .change = s->change,
                             .facts = recording_facts(c)};
        strcpy(l->session, s->id);
        *m = (struct layout_making){.ls = ls, .layout = l, .begun = ++ls->begun, .track_count = c->count,
                                    .origin_segment = c->origin_segment, .identity = recording_begin_identity(c)};
        if (!w->ondemand)
                m->tables = mem_alloc(RECORDING_TRACKS_MAX * sizeof(m->tables[0]));
        for (size_t t = 0; t < c->count; t++) {
                const struct track *from = c->tracks[t];
                m->tracks[t].dir = mem_strdup(from->log->dir);
                m->tracks[t].init = buf_ref(from->init_bytes);
                m->tracks[t].info = from->init;
        }
}

/* false: its volumes are not those that it was made of. */
static bool is_right(struct layout *l, const struct session *s, const struct recording_tracks *c)
{
        bool may_differ = s->state == SESSION_LIVE || l->version != s->version || l->change != s->change;
        if (may_differ && recording_facts(c) != l->facts)
                return false;
        l->version = s->version;
        l->change = s->change;
        return true;
}

void layouts_open(struct layouts *ls, uv_loop_t *loop, void (*changed)(void *arg, struct session *s), void *arg)
{
        *ls = (struct layouts){.loop = loop, .most_bytes = LAYOUTS_BYTES_MAX, .changed = changed, .arg = arg};
}

enum segment_state layouts_get(struct layouts *ls, struct session *s, const struct recording_wish *w, bool may_read, struct layout **out)
{
        struct recording_tracks c;
        *out = NULL;
        recording_choose(&c, s, w);
        bool ended = s->state == SESSION_ENDED, stored = !ended && !w->ondemand && w->to <= recording_stored_s(&c, s);
        if (!c.count || !(ended || stored))
                return SEGMENT_NONE;
        struct layout *l = find_layout(ls, s, w);
        bool again = l && l->failed && clock_mono_us() >= l->again_us;
        if (l && (again || !is_right(l, s, &c))) {
                forget_layout(ls, l);
                l = NULL;
        }
        if (!l) {
                bool by_segments = w->ondemand && is_clip(w); /* laid out by indexes, and known by them: a slow disk is not waited for */
                enum segment_state state = recording_at_rest(&c, s, !by_segments);
                if (state != SEGMENT_HERE)
                        return state;
                if (ls->stopping)
                        return SEGMENT_BUSY;
                l = place_for_one(ls);
                if (!l)
                        return SEGMENT_BUSY;
                begin_layout(ls, l, s, w, &c);
                if (w->ondemand && !begin_ondemand(l->making, s, &c)) {
                        forget_layout(ls, l);
                        return SEGMENT_NONE;
                }
        }
        l->used_us = clock_mono_us();
        *out = l;
        if (l->failed)
                return SEGMENT_UNREADABLE;
        if (!l->making)
                return SEGMENT_HERE;
        may_read &= !ls->stopping;
        enum segment_state state = w->ondemand ? go_on_ondemand(l, &c, may_read) : go_on(l, &c, s, may_read);
        if (state != SEGMENT_LOADING || !l->making->lacks_room)
                return state;
        *out = NULL;
        return SEGMENT_BUSY;
}

void layouts_stop(struct layouts *ls)
{
        ls->stopping = true;
}

void layouts_close(struct layouts *ls)
{
        for (size_t i = 0; i < LAYOUTS_MAX; i++)
                forget_layout(ls, &ls->all[i]);
        for (struct layout_making *m = ls->leaving; m; m = m->next_leaving)
                m->ls = NULL;
        ls->leaving = NULL;
}

#include "originD/serve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/replica/catalog.h"
#include "originD/stats.h"

#define SWEEP_MS 20
#define TTL_MANIFEST_MS 1000
#define TTL_UNKNOWN_MS 1000 /* a name that may yet come to be: a stream, a session, a track */
#define TTL_NEVER_MS 10000  /* a segment that will never be */
#define TTL_MEDIA_MS UINT32_MAX
#define STREAMS_US (US_PER_S / 2)
#define LONG_LIST_US (5 * US_PER_S)
#define JSON_TYPE "application/json"

static const struct serve_answer not_yet = {.status = ERR_NOT_YET}, full = {.status = ERR_FULL};

static void count_answer(const struct serve_answer *a)
{
        stat_add(a->status == 0               ? STAT_FETCHES_OK
                 : a->status == ERR_NOT_YET   ? STAT_FETCHES_NOT_YET
                 : a->status == ERR_NOT_FOUND ? STAT_FETCHES_NOT_FOUND
                 : a->status == ERR_FULL      ? STAT_FETCHES_FULL
                                              : STAT_FETCHES_ERROR,
                 1);
}

static void give_turns(struct serve *sv);

/* What r had is free before it is told: done() may ask the next thing. */
static void answer(struct serve_request *r, const struct serve_answer *a)
{
        struct serve *sv = r->serve;
        count_answer(a);
        if (a->kept)
                askers_keep(&sv->askers, &r->asking, a->bytes->len); /* all that was read, however little of it is wanted */
        else
                askers_leave(&sv->askers, &r->asking);
        r->done(r, a);
        give_turns(sv);
}

/* A look at a question: answered (or on its way to be), nothing to say yet, the disk must be asked and it is not r's turn, it is
 * being asked (whoever asks waits for that), or there is no such thing here. */
enum look { LOOK_DONE, LOOK_WAIT, LOOK_TURN, LOOK_LOADING, LOOK_NONE };

static enum look none(struct serve_request *r, uint32_t ttl_ms)
{
        r->none_ttl_ms = ttl_ms;
        return LOOK_NONE;
}

static enum look answer_bytes(struct serve_request *r, struct buf *bytes, uint64_t size, bool complete, uint8_t flags,
                              uint32_t ttl_ms, const char *content_type)
{
        if (r->offset > size)
                return none(r, TTL_UNKNOWN_MS);
        uint64_t left = size - r->offset;
        size_t len = left < r->max_bytes ? (size_t)left : r->max_bytes;
        if (complete && len == left)
                flags |= FETCH_COMPLETE;
        answer(r, &(struct serve_answer){.flags = flags, .ttl_ms = ttl_ms, .content_type = content_type, .bytes = bytes,
                                         .from = (size_t)r->offset, .len = len, .size = size, .complete = complete});
        return LOOK_DONE;
}

static enum look answer_error(struct serve_request *r, int status)
{
        answer(r, &(struct serve_answer){.status = status});
        return LOOK_DONE;
}

static void resolve(struct serve *sv, struct serve_request *r);

/* What was read, or not, is not on its way any more. true: its file went to the archive before its turn at the disk came, so r is looked
 * at again, and may be gone. */
static bool end_read(struct serve_request *r, struct chunk_log *log, const struct segment_view *v, int status, struct buf **bytes)
{
        const struct volume_row *row = volumes_get(&log->closed, v->volume);
        *bytes = r->reading;
        r->reading = NULL;
        r->pinned->pins--;
        r->pinned->reads -= !v->archived;
        r->pinned = NULL;
        if (status != ERR_NOT_FOUND || !row || row->state != VOLUME_ARCHIVED)
                return false;
        buf_unref(bytes);
        resolve(r->serve, r);
        return true;
}

static void read_done(void *arg, int status)
{
        struct serve_request *r = arg;
        struct buf *bytes;
        if (end_read(r, r->log, &r->view, status, &bytes))
                return;
        bool all = r->offset + bytes->len == r->view.len_bytes;
        struct serve_answer a = {.status = status,
                                 .flags = FETCH_IMMUTABLE | (all && r->view.complete ? FETCH_COMPLETE : 0),
                                 .ttl_ms = TTL_MEDIA_MS,
                                 .content_type = "video/mp4",
                                 .bytes = bytes,
                                 .len = bytes->len,
                                 .size = r->view.len_bytes,
                                 .complete = r->view.complete,
                                 .kept = r->slow_taker};
        if (status == ERR_CORRUPT) /* lacking, for whom that matters */
                a = (struct serve_answer){.status = ERR_NOT_FOUND, .ttl_ms = TTL_UNKNOWN_MS};
        else if (status)
                a = (struct serve_answer){.status = status == ERR_NOT_FOUND || status == ERR_FULL ? status : ERR_IO};
        answer(r, &a);
        buf_unref(&bytes);
}

struct checked_read {
        struct serve_request *r;
        char *dir;
        uint32_t volume;
        uint64_t offset;
        struct buf *into;
        int status;
};

static void checked_work(void *arg)
{
        struct checked_read *c = arg;
        c->status = volume_read_checked(c->dir, c->volume, c->offset, c->into);
        if (c->status == ERR_CORRUPT)
                log_error("path=%s volume=%06u msg=\"another origin is not given what the disk has changed\" offset=%llu", c->dir, c->volume,
                          (unsigned long long)c->offset);
}

static void checked_done(void *arg)
{
        struct checked_read *c = arg;
        read_done(c->r, c->status);
        buf_unref(&c->into);
        free(c->dir);
        free(c);
}

/* Another origin stores what it gets with a checksum of its own, so what a disk changes here would be right there, and for ever. */
static void read_for_copy(struct serve *sv, struct serve_request *r, const struct chunk_log *log, enum disk_class pool)
{
        struct checked_read *c = mem_alloc(sizeof(*c));
        *c = (struct checked_read){.r = r, .dir = mem_strdup(log->dir), .volume = r->view.volume, .offset = r->view.offset + r->offset,
                                   .into = buf_ref(r->reading)};
        if (disk_run(sv->loop, pool, checked_work, checked_done, c)) {
                c->status = ERR_FULL;
                checked_done(c);
        }
}

static void recording_read_done(void *arg, int status);

/* Nothing that an object store says is "not found" here: a row says that it is there, and other owners may have it. What it has, and
 * is not what was stored, cannot be read; otherwise it may be had later. */
static void archive_read_done(void *arg, int err, const char *words)
{
        struct serve_request *r = arg;
        (void)words; /* the archive logs what is wrong with it */
        bool bad = err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_PROTO || err == ERR_IO;
        int status = !err ? 0 : bad ? ERR_IO : ERR_FULL;
        if (r->parsed.kind == KEY_RECORDING)
                recording_read_done(r, status);
        else
                read_done(r, status);
}

/* Fills r->reading from there. ERR_FULL, ERR_IO: nothing is on its way. */
static int read_archived(struct serve *sv, struct serve_request *r, const struct session *s, const struct chunk_log *log,
                         const struct segment_view *v, uint64_t from)
{
        if (!sv->archive)
                return ERR_IO;
        char *idx = volume_path(log->dir, v->volume, "idx"), *name = archive_name(s->stream, s->id, log->dir, v->volume);
        int rc = archive_read_media(sv->archive, &(struct archive_volume){.name = name, .idx_path = idx}, from, r->reading,
                                    archive_read_done, r);
        free(name);
        free(idx);
        return rc;
}

/* Asks the disk, or the archive, for len bytes of the volume that v is in. */
static enum look read_media(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log,
                            const struct segment_view *v, uint64_t from, size_t len, disk_done *done)
{
        r->log = log;
        r->reading = buf_new(len);
        if (v->archived) {
                int rc = read_archived(sv, r, s, log, v, from);
                if (rc) {
                        buf_unref(&r->reading);
                        return answer_error(r, rc);
                }
        }
        r->pinned = s;
        s->pins++;
        s->reads += !v->archived;
        if (v->archived)
                return LOOK_DONE;
        stat_add(STAT_DISK_READS, 1);
        enum disk_class pool = r->asking.kind == READ_LIVE ? DISK_LIVE : DISK_COLD;
        if (r->from_node && r->hops == FETCH_HOPS_MAX) {
                read_for_copy(sv, r, log, pool);
                return LOOK_DONE;
        }
        char *path = volume_path(log->dir, v->volume, "mp4");
        disk_read(sv->loop, pool, path, from, r->reading, done, r);
        free(path);
        return LOOK_DONE;
}

/* Whether r may ask the disk now. */
static bool has_turn(struct serve_request *r, enum read_kind kind)
{
        r->wants = kind;
        return r->asking.state == ASKING_READS;
}

/* The same where what v tells of is: it may have waited for its turn at the disk, to have the index read, which it gives back then. */
static bool has_turn_for(struct serve *sv, struct serve_request *r, const struct segment_view *v, enum read_kind here)
{
        if (!v->archived)
                return has_turn(r, here);
        if (r->asking.state == ASKING_READS && r->asking.kind != READ_ARCHIVE)
                askers_leave(&sv->askers, &r->asking);
        return has_turn(r, READ_ARCHIVE);
}

static enum read_kind kind_of_read(const struct session *s, const struct chunk_log *log, uint32_t segment)
{
        const struct index *ix = &log->index;
        uint32_t last = ix->count ? ix->rows[ix->count - 1].segment : 0;
        return s->state == SESSION_LIVE && segment + LIVE_READ_SEGMENTS >= last ? READ_LIVE : READ_OLD;
}

static enum look look_at_stored(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log)
{
        const struct segment_view *v = &r->view;
        if (r->offset == v->len_bytes && !v->complete)
                return LOOK_WAIT;
        if (v->bytes || r->offset >= v->len_bytes)
                return answer_bytes(r, v->bytes, v->len_bytes, v->complete, FETCH_IMMUTABLE, TTL_MEDIA_MS, "video/mp4");
        if (!has_turn_for(sv, r, v, kind_of_read(s, log, r->parsed.segment)))
                return LOOK_TURN;
        uint64_t left = v->len_bytes - r->offset;
        return read_media(sv, r, s, log, v, v->offset + r->offset, left < r->max_bytes ? (size_t)left : r->max_bytes, read_done);
}

/* A segment that is not there: due soon, or never to come. */
static enum look look_ahead(struct serve_request *r, const struct session *s, const struct track *t)
{
        const struct index *ix = &t->log->index;
        int64_t n = r->parsed.segment, last = ix->count ? (int64_t)ix->rows[ix->count - 1].segment : -1;
        int64_t edge = session_live_edge_us(s) / SEGMENT_US;
        edge = edge > last ? edge : last;
        if (s->state == SESSION_ENDED || n < t->first_segment || n < last)
                return none(r, TTL_NEVER_MS);
        if (n <= edge + DUE_SOON_SEGMENTS)
                return LOOK_WAIT;
        int64_t until_ms = (n - DUE_SOON_SEGMENTS - edge) * 1000;
        return none(r, until_ms < TTL_UNKNOWN_MS ? (uint32_t)until_ms : TTL_UNKNOWN_MS);
}

/* Whether the session's tracks are there: LOOK_DONE. Of a recording they are read first; when that fails r is answered and *over. */
static enum look look_loaded(struct serve_request *r, struct session *s, bool *over)
{
        *over = false;
        if (session_loadable(s)) { /* which takes as long as many reads do */
                if (!has_turn(r, READ_OLD))
                        return LOOK_TURN;
                session_load(s);
        }
        *over = s->load == LOAD_FAILED || s->load == LOAD_NO; /* LOAD_NO: the disk has too much to do */
        if (*over)
                answer(r, &(struct serve_answer){.status = s->load == LOAD_NO ? ERR_FULL : ERR_IO});
        return s->load == LOAD_DONE || *over ? LOOK_DONE : LOOK_LOADING;
}

static enum look look_segment(struct serve *sv, struct serve_request *r, struct session *s)
{
        struct track *t = session_track(s, r->parsed.track);
        if (!t)
                return none(r, s->state == SESSION_LIVE ? TTL_UNKNOWN_MS : TTL_NEVER_MS);
        if (t->unreadable)
                return answer_error(r, ERR_IO);
        if (!t->log)
                return LOOK_WAIT;
        bool turn = has_turn(r, kind_of_read(s, t->log, r->parsed.segment));
        switch (chunk_log_segment(t->log, r->parsed.segment, turn, &r->view)) {
        case SEGMENT_HERE:
                return look_at_stored(sv, r, s, t->log);
        case SEGMENT_UNREAD:
                return LOOK_TURN;
        case SEGMENT_LOADING:
                return LOOK_LOADING;
        case SEGMENT_LACKING: /* another origin is asked next; if none has it, it may yet be brought from one */
                return none(r, TTL_UNKNOWN_MS);
        case SEGMENT_BUSY:
                return answer_error(r, ERR_FULL);
        case SEGMENT_UNREADABLE:
                return answer_error(r, ERR_IO);
        case SEGMENT_NONE:
                break;
        }
        return look_ahead(r, s, t);
}

static enum look look_init(struct serve_request *r, struct session *s)
{
        struct track *t = session_track(s, r->parsed.track);
        if (!t)
                return none(r, TTL_UNKNOWN_MS);
        if (t->unreadable)
                return answer_error(r, ERR_IO);
        if (t->making)
                return LOOK_WAIT;
        return answer_bytes(r, t->init_bytes, t->init_bytes->len, true, FETCH_IMMUTABLE, TTL_MEDIA_MS, "video/mp4");
}

/* The index of a volume with a hole is read before the hole is left out. LOOK_DONE: all are known, or cannot be; *over: r is answered. */
static enum look look_at_holes(struct serve_request *r, const struct session *s, bool *over)
{
        struct segment_view v;
        *over = false;
        for (size_t i = 0; i < s->track_count && s->state == SESSION_ENDED; i++) {
                struct track *t = s->tracks[i];
                const struct volume_row *row = t->log ? track_unseen_hole(s, t) : NULL;
                enum segment_state state = SEGMENT_NONE;
                if (row)
                        state = chunk_log_segment(t->log, row->sum.first_segment, has_turn(r, READ_OLD), &v);
                *over = state == SEGMENT_BUSY;
                if (*over)
                        return answer_error(r, ERR_FULL);
                if (state == SEGMENT_UNREAD || state == SEGMENT_LOADING)
                        return state == SEGMENT_UNREAD ? LOOK_TURN : LOOK_LOADING;
        }
        return LOOK_DONE;
}

static enum look look_manifest(struct serve *sv, struct serve_request *r, struct session *s)
{
        const struct manifest_format *f = manifest_format(r->parsed.file);
        bool over;
        if (!manifest_ready(s, clock_mono_us()))
                return s->state == SESSION_LIVE ? LOOK_WAIT : none(r, TTL_UNKNOWN_MS);
        enum look holes = look_at_holes(r, s, &over);
        if (over || holes != LOOK_DONE)
                return holes;
        bool entry = r->parsed.kind == KEY_ENTRY, for_ever = !entry && s->state == SESSION_ENDED;
        struct buf *text = f->write(s, &sv->manifest, entry);
        enum look l = answer_bytes(r, text, text->len, true, for_ever ? FETCH_IMMUTABLE : 0,
                                   for_ever ? TTL_MEDIA_MS : TTL_MANIFEST_MS, f->content_type);
        buf_unref(&text);
        return l;
}

static void recording_read_done(void *arg, int status)
{
        struct serve_request *r = arg;
        const struct recording_place *at = &r->place;
        struct buf *bytes;
        if (end_read(r, r->log, &at->view, status, &bytes))
                return;
        if (!status && recording_rewrite(bytes->data, bytes->len, &r->init, at->track, at->segment, at->origin_segment))
                status = ERR_IO; /* it is damaged */
        size_t left = bytes->len - at->skip, len = left < r->max_bytes ? left : r->max_bytes;
        bool all = r->offset + len == at->size;
        struct serve_answer a = {.flags = all ? FETCH_COMPLETE : 0, .content_type = "video/mp4", .bytes = bytes, .from = at->skip,
                                 .len = len, .size = at->size, .identity = at->identity, .complete = true, .kept = r->slow_taker};
        if (status) /* its volume's row says that it is here: that is no absence */
                a = (struct serve_answer){.status = status == ERR_FULL ? ERR_FULL : ERR_IO};
        answer(r, &a);
        buf_unref(&bytes);
}

static enum look answer_no_track(struct serve_request *r, const struct session *s)
{
        char all[SESSION_TRACKS_MAX * (TRACK_NAME_MAX + 2)];
        recording_list_tracks(s, all, sizeof(all));
        char *words = mem_printf("there is no track %s in this recording, which has %s", r->parsed.track, *all ? all : "none");
        struct buf *bytes = buf_copy(words, strlen(words));
        answer(r, &(struct serve_answer){.status = ERR_UNSUPPORTED, .bytes = bytes, .len = bytes->len});
        buf_unref(&bytes);
        free(words);
        return LOOK_DONE;
}

/* A piece of the one file, at most a segment's, which is read whole as all of it is rewritten. */
static enum look look_recording(struct serve *sv, struct serve_request *r, struct session *s)
{
        struct recording_place *at = &r->place;
        if (*r->parsed.track && s->state == SESSION_ENDED && !recording_has(s, r->parsed.track))
                return answer_no_track(r, s);
        switch (recording_find(s, r->parsed.track, r->offset, has_turn(r, READ_OLD), &r->plan, at)) {
        case SEGMENT_HERE:
                break;
        case SEGMENT_UNREAD:
                return LOOK_TURN;
        case SEGMENT_LOADING:
                return LOOK_LOADING;
        case SEGMENT_BUSY:
                return answer_error(r, ERR_FULL);
        case SEGMENT_UNREADABLE:
                return answer_error(r, ERR_IO);
        case SEGMENT_LACKING:
                return answer_error(r, ERR_NOT_YET);
        case SEGMENT_NONE:
                return none(r, TTL_UNKNOWN_MS);
        }
        if (at->header) {
                struct buf *header = at->header; /* r may be gone when it is answered */
                answer(r, &(struct serve_answer){.content_type = "video/mp4", .bytes = header, .from = (size_t)r->offset,
                                                 .len = header->len - (size_t)r->offset, .size = at->size, .identity = at->identity,
                                                 .complete = true});
                buf_unref(&header);
                return LOOK_DONE;
        }
        if (!has_turn_for(sv, r, &at->view, READ_OLD))
                return LOOK_TURN;
        r->init = at->log->init;
        return read_media(sv, r, s, at->log, &at->view, at->view.offset, at->view.len_bytes, recording_read_done);
}

/* The live session, or the newest one that can be played. */
static struct session *current_session(struct serve *sv, const char *stream_id)
{
        struct stream *stream = store_stream(sv->store, stream_id);
        struct session *s = stream_live(stream);
        if (s)
                return s;
        for (s = stream ? stream->sessions : NULL; s; s = s->next_of_stream)
                if (session_playable(s))
                        return s;
        return NULL;
}

static struct buf *list_text(struct serve *sv, enum key_kind kind)
{
        return kind == KEY_STREAMS ? streams_json(sv->store) : catalog_write_live(sv->store);
}

/* One text for all the pages of it: a longer one is kept for those who have begun to read. */
static enum look look_list(struct serve *sv, struct serve_request *r, struct serve_list *l)
{
        int64_t now = clock_mono_us();
        int64_t short_us = r->parsed.kind == KEY_STREAMS ? STREAMS_US : 0;
        int64_t keep_us = l->text && l->text->len > BODY_MAX ? LONG_LIST_US : short_us;
        if (!l->text || (r->offset == 0 && now - l->made_mono_us >= keep_us)) {
                buf_unref(&l->text);
                l->text = list_text(sv, r->parsed.kind);
                l->made_mono_us = now;
        }
        return answer_bytes(r, l->text, l->text->len, true, 0, TTL_MANIFEST_MS, JSON_TYPE);
}

static enum look look_peer(struct serve *sv, struct serve_request *r)
{
        if (!r->from_node)
                return none(r, TTL_NEVER_MS);
        if (r->parsed.kind == KEY_PEER_LIVE)
                return look_list(sv, r, &sv->peer_live);
        if (r->parsed.kind == KEY_PEER_EVENTS && !sv->events.settled)
                return none(r, TTL_NEVER_MS);
        struct session *s = r->parsed.kind == KEY_PEER_SESSION ? store_session(sv->store, r->parsed.session) : NULL;
        if (!s && r->parsed.kind == KEY_PEER_SESSION &&
            (store_unreadable(sv->store, r->parsed.session) || removals_have(sv->store, r->parsed.session)))
                return answer_error(r, ERR_IO); /* that it is not here is not known */
        bool over = false;
        enum look loaded = s ? look_loaded(r, s, &over) : LOOK_DONE;
        if (over || loaded != LOOK_DONE)
                return loaded;
        struct buf *text = r->parsed.kind == KEY_PEER_EVENTS  ? sv->events.settled(sv->events.arg)
                           : r->parsed.kind == KEY_PEER_ENDED ? catalog_write_ended(sv->store, r->parsed.since)
                                                              : catalog_write_one(s);
        enum look l = answer_bytes(r, text, text->len, true, 0, 0, JSON_TYPE);
        buf_unref(&text);
        return l;
}

static struct session *wanted_session(struct serve *sv, const struct key *k)
{
        if (k->kind == KEY_ENTRY)
                return current_session(sv, k->stream);
        struct session *s = store_session(sv->store, k->session);
        return s && strcmp(s->stream, k->stream) == 0 ? s : NULL;
}

static enum look look(struct serve *sv, struct serve_request *r)
{
        if (r->parsed.kind == KEY_STREAMS)
                return look_list(sv, r, &sv->streams);
        struct session *s = r->parsed.kind == KEY_NONE ? NULL : wanted_session(sv, &r->parsed);
        bool over;
        if (!s)
                return none(r, TTL_UNKNOWN_MS);
        enum look loaded = look_loaded(r, s, &over);
        if (over || loaded != LOOK_DONE)
                return loaded;
        switch (r->parsed.kind) {
        case KEY_SEGMENT:
                return look_segment(sv, r, s);
        case KEY_INIT:
                return look_init(r, s);
        case KEY_RECORDING:
                return look_recording(sv, r, s);
        default:
                return look_manifest(sv, r, s);
        }
}

/* As a string that outlives the message. */
static const char *known_type(const char *text)
{
        static const char *const types[] = {"video/mp4", "application/dash+xml", JSON_TYPE};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if (strcmp(types[i], text) == 0)
                        return types[i];
        return "application/octet-stream";
}

static void from_elsewhere(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct serve_request *r = arg;
        struct serve *sv = r->serve;
        sv->asking_elsewhere--;
        bool empty = !err && !bytes && ~m->flags & (FETCH_COMPLETE | FETCH_IMMUTABLE); /* says nothing */
        if (err || m->status || empty) {
                resolve(sv, r);
                return;
        }
        stat_add(STAT_FETCHES_ELSEWHERE, 1);
        bool complete = m->flags & FETCH_COMPLETE;
        answer(r, &(struct serve_answer){.flags = m->flags, .ttl_ms = m->ttl_ms, .content_type = known_type(m->content_type),
                                         .bytes = bytes, .len = m->len, .size = r->offset + m->len, .complete = complete});
}

static void end_turn(struct serve *sv, struct serve_request *r)
{
        bool had = r->asking.state == ASKING_READS;
        askers_yield(&sv->askers, &r->asking);
        if (had)
                give_turns(sv);
}

/* Asks the next of the origins that may have more; true: it is on its way. Only the first one may ask others in its turn, or
 * a question about what nobody has would be asked many times over. */
static bool ask_elsewhere(struct serve *sv, struct serve_request *r, const struct session *than)
{
        const struct serve_elsewhere *e = &sv->elsewhere;
        struct fetch m = {.offset = r->offset, .hops = r->asked_elsewhere ? FETCH_HOPS_MAX : (uint8_t)(r->hops + 1)};
        if (!e->who || sv->stopping || (than && r->asked_elsewhere) || r->parsed.kind < KEY_ENTRY || r->parsed.kind == KEY_RECORDING ||
            r->hops >= FETCH_HOPS_MAX ||
            sv->asking_elsewhere >= sv->askers.waits_of_one)
                return false;
        const char *peer = e->who(e->arg, &r->parsed, than, r->asked_elsewhere);
        int64_t left_ms = (r->deadline_us - clock_mono_us()) / US_PER_MS;
        m.wait_ms = (uint32_t)(left_ms < 0 ? 0 : left_ms < FETCH_WAIT_MAX_MS ? left_ms : FETCH_WAIT_MAX_MS);
        strcpy(m.key, r->key);
        if (!peer || e->link->ops->fetch(e->link, peer, &m, from_elsewhere, r))
                return false;
        r->asked_elsewhere++;
        sv->asking_elsewhere++;
        end_turn(sv, r); /* nothing is read here while a peer is asked, which may take as long as it waits itself */
        return true;
}

/* Before this origin has read all it has, and heard of the others. A recording that its writer ended is the same everywhere and
 * for ever; of anything else, and of what is not here, nobody can say yet what it is. Who asks for what may never be is not held
 * while this origin reads: others know. */
static enum look look_early(struct serve *sv, struct serve_request *r)
{
        bool about_one = r->parsed.kind >= KEY_ENTRY && r->parsed.kind < KEY_PEER_ENDED;
        struct session *s = about_one ? wanted_session(sv, &r->parsed) : NULL;
        if (!sv->store->started && (!s || (r->parsed.kind == KEY_ENTRY && s->state == SESSION_ENDED)))
                return answer_error(r, ERR_NOT_YET);
        bool ended = s && s->state == SESSION_ENDED && s->ended_by_writer && r->parsed.kind != KEY_ENTRY;
        if (!s || !(sv->settled || ended))
                return LOOK_WAIT;
        enum look l = look(sv, r);
        return l == LOOK_NONE && !sv->settled ? LOOK_WAIT : l; /* another copy may have it */
}

/* What is here; else what another origin has; else LOOK_WAIT or LOOK_NONE. */
static enum look look_everywhere(struct serve *sv, struct serve_request *r)
{
        if (r->parsed.kind >= KEY_PEER_ENDED && sv->store->started)
                return look_peer(sv, r);
        if (!(sv->settled && sv->store->started) && r->parsed.kind != KEY_NONE)
                return look_early(sv, r);
        bool newest = r->parsed.kind == KEY_ENTRY && sv->elsewhere.who; /* another origin may have a newer session */
        struct session *current = newest ? current_session(sv, r->parsed.stream) : NULL;
        if (current && ask_elsewhere(sv, r, current))
                return LOOK_DONE;
        enum look l = look(sv, r);
        return (l == LOOK_WAIT || l == LOOK_NONE) && ask_elsewhere(sv, r, NULL) ? LOOK_DONE : l;
}

static void sweep(uv_timer_t *timer);

static void tell_waiting(const struct serve *sv)
{
        stat_set(STAT_FETCHES_WAITING, (int64_t)sv->held_count);
        size_t in_line = 0;
        for (enum read_kind kind = READ_LIVE; kind < READ_KINDS; kind++)
                in_line += sv->askers.kinds[kind].in_line;
        stat_set(STAT_READS_IN_LINE, (int64_t)in_line);
}

/* Keys without a stream have one of their own, as if it were named "". */
static struct serve_request **bucket_of(struct serve *sv, const char *stream)
{
        return &sv->of_stream[XXH3_64bits(stream, strlen(stream)) % SERVE_BUCKETS];
}

static void hold(struct serve *sv, struct serve_request *r)
{
        r->next = sv->held;
        r->prev = &sv->held;
        if (sv->held)
                sv->held->prev = &r->next;
        sv->held = r;
        sv->held_count++;
        struct serve_request **bucket = bucket_of(sv, r->parsed.stream);
        r->next_of_stream = *bucket;
        r->prev_of_stream = bucket;
        if (*bucket)
                (*bucket)->prev_of_stream = &r->next_of_stream;
        *bucket = r;
        tell_waiting(sv);
        if (!uv_is_active((uv_handle_t *)&sv->timer))
                uv_timer_start(&sv->timer, sweep, SWEEP_MS, SWEEP_MS);
}

static void let_go(struct serve *sv, struct serve_request *r)
{
        *r->prev = r->next;
        if (r->next)
                r->next->prev = r->prev;
        r->next = NULL;
        r->prev = NULL;
        *r->prev_of_stream = r->next_of_stream;
        if (r->next_of_stream)
                r->next_of_stream->prev_of_stream = r->prev_of_stream;
        r->next_of_stream = NULL;
        r->prev_of_stream = NULL;
        sv->held_count--;
        askers_no_wait(&sv->askers, &r->asking);
        tell_waiting(sv);
}

/* r waits, if there is room for one more of its asker's. */
static bool may_wait(struct serve *sv, struct serve_request *r)
{
        if (askers_wait(&sv->askers, &r->asking, r->asker))
                return true;
        stat_add(STAT_REFUSED_WAITS, 1);
        answer(r, &full);
        return false;
}

/* It is held like any other, so that it is not forgotten when its turn never comes. */
static void hold_for_disk(struct serve *sv, struct serve_request *r)
{
        int64_t until_us = clock_mono_us() + READ_WAIT_US;
        if (r->deadline_us < until_us)
                r->deadline_us = until_us;
        hold(sv, r);
}

static void line_up(struct serve *sv, struct serve_request *r)
{
        if (sv->stopping) {
                answer(r, &not_yet);
                return;
        }
        if (!may_wait(sv, r))
                return;
        if (askers_read(&sv->askers, &r->asking, r->wants)) {
                askers_no_wait(&sv->askers, &r->asking);
                resolve(sv, r);
                return;
        }
        hold_for_disk(sv, r);
        give_turns(sv); /* it may have given one back */
}

/* Answers, has it answered later, or holds it. r may be gone afterwards. */
static void resolve(struct serve *sv, struct serve_request *r)
{
        switch (look_everywhere(sv, r)) {
        case LOOK_DONE:
                break;
        case LOOK_NONE:
                answer(r, &(struct serve_answer){.status = ERR_NOT_FOUND, .ttl_ms = r->none_ttl_ms});
                break;
        case LOOK_TURN:
                line_up(sv, r);
                break;
        case LOOK_LOADING:
                if (sv->stopping)
                        answer(r, &not_yet);
                else if (may_wait(sv, r))
                        hold_for_disk(sv, r);
                break;
        case LOOK_WAIT:
                if (sv->stopping || !r->wait_ms)
                        answer(r, &not_yet);
                else if (may_wait(sv, r)) {
                        hold(sv, r);
                        end_turn(sv, r); /* what it waits for now is no read */
                }
        }
}

/* Takes r out of the held ones before it may be answered: done() frees it. Puts it back if there is nothing to say. */
static void look_again(struct serve *sv, struct serve_request *r)
{
        let_go(sv, r);
        resolve(sv, r);
}

/* Not while the held ones are gone through, of which this takes some out, nor from inside of itself: whoever goes through
 * them gives the turns when that is over. */
static void give_turns(struct serve *sv)
{
        struct asking *q;
        if (sv->going_through)
                return;
        sv->going_through = true;
        for (enum read_kind kind = READ_LIVE; kind < READ_KINDS; kind++)
                while ((q = askers_next(&sv->askers, kind)))
                        look_again(sv, (struct serve_request *)((char *)q - offsetof(struct serve_request, asking)));
        sv->going_through = false;
}

/* false: somebody does so already, and the list may change under him only by what he does. */
static bool go_through(struct serve *sv)
{
        bool was = sv->going_through;
        sv->going_through = true;
        return !was;
}

static void gone_through(struct serve *sv, bool outermost)
{
        if (!outermost)
                return;
        sv->going_through = false;
        give_turns(sv);
}

/* Questions that match are looked at again. One that stands in line would only lose its place. The list changes under way only by
 * look_again() of its own members: one that stays moves to the front, before what is still to be visited. */
static void revisit(struct serve *sv, bool (*match)(const struct serve_request *r, const void *arg), const void *arg)
{
        bool outermost = go_through(sv);
        struct serve_request *r = sv->held, *next;
        for (; r; r = next) {
                next = r->next;
                if (r->asking.state != ASKING_IN_LINE && match(r, arg))
                        look_again(sv, r);
        }
        gone_through(sv, outermost);
}

static bool about_session(const struct serve_request *r, const void *arg)
{
        const struct session *s = arg;
        if (r->parsed.kind == KEY_PEER_SESSION)
                return strcmp(r->parsed.session, s->id) == 0;
        return strcmp(r->parsed.stream, s->stream) == 0 &&
               (r->parsed.kind == KEY_ENTRY || strcmp(r->parsed.session, s->id) == 0);
}

/* As revisit(), of one bucket. */
static void revisit_bucket(struct serve_request *first, struct serve *sv, const struct session *s)
{
        for (struct serve_request *r = first, *next; r; r = next) {
                next = r->next_of_stream;
                if (r->asking.state != ASKING_IN_LINE && about_session(r, s))
                        look_again(sv, r);
        }
}

void serve_changed(struct serve *sv, struct session *s)
{
        bool outermost = go_through(sv);
        struct serve_request **of_stream = bucket_of(sv, s->stream), **of_none = bucket_of(sv, "");
        revisit_bucket(*of_stream, sv, s);
        if (of_none != of_stream)
                revisit_bucket(*of_none, sv, s);
        gone_through(sv, outermost);
}

/* Whether there can be a manifest depends on time too. */
static bool about_time(const struct serve_request *r, const void *arg)
{
        (void)arg;
        return r->parsed.kind == KEY_ENTRY || r->parsed.kind == KEY_MANIFEST;
}

/* What another origin has may be known since it was held. */
static bool known_elsewhere(const struct serve_request *r, const void *arg)
{
        const struct serve_elsewhere *e = arg;
        return !r->asked_elsewhere && r->parsed.kind >= KEY_ENTRY && e->who(e->arg, &r->parsed, NULL, 0);
}

static void sweep(uv_timer_t *timer)
{
        struct serve *sv = timer->data;
        int64_t now = clock_mono_us();
        bool outermost = go_through(sv);
        revisit(sv, about_time, NULL);
        if (sv->elsewhere.who && sv->settled)
                revisit(sv, known_elsewhere, &sv->elsewhere);
        for (struct serve_request *r = sv->held, *next; r; r = next) {
                next = r->next;
                if (r->deadline_us > now)
                        continue;
                bool in_line = r->asking.state == ASKING_IN_LINE;
                stat_add(STAT_REFUSED_TURN, in_line);
                let_go(sv, r);
                answer(r, in_line ? &full : &not_yet);
        }
        gone_through(sv, outermost);
        if (!sv->held)
                uv_timer_stop(timer);
}

void serve_open(struct serve *sv, uv_loop_t *loop, struct store *store, const struct manifest_options *manifest,
                size_t waits_of_one)
{
        *sv = (struct serve){.loop = loop, .store = store, .manifest = *manifest, .settled = true};
        askers_init(&sv->askers, waits_of_one);
        uv_timer_init(loop, &sv->timer);
        sv->timer.data = sv;
}

void serve(struct serve *sv, struct serve_request *r)
{
        assert(r->max_bytes > 0);
        key_parse(&r->parsed, r->key);
        r->serve = sv;
        r->asked_elsewhere = 0; /* HTTP asks with one request for piece after piece */
        r->deadline_us = clock_mono_us() + r->wait_ms * US_PER_MS;
        resolve(sv, r);
}

void serve_taken(struct serve *sv, struct serve_request *r)
{
        askers_leave(&sv->askers, &r->asking);
        give_turns(sv);
}

static bool any(const struct serve_request *r, const void *arg)
{
        (void)r;
        (void)arg;
        return true;
}

void serve_unsettled(struct serve *sv)
{
        sv->settled = false;
}

void serve_settled(struct serve *sv)
{
        sv->settled = true;
        revisit(sv, any, NULL);
}

void serve_stop(struct serve *sv)
{
        sv->stopping = true;
        while (sv->held) {
                struct serve_request *r = sv->held;
                let_go(sv, r);
                answer(r, &not_yet);
        }
}

void serve_close(struct serve *sv)
{
        assert(!sv->held && !sv->asking_elsewhere && !sv->askers.count);
        buf_unref(&sv->streams.text);
        buf_unref(&sv->peer_live.text);
        uv_close((uv_handle_t *)&sv->timer, NULL);
}

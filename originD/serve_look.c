#include "originD/serve_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/disk.h"
#include "originD/classic.h"
#include "originD/joined.h"
#include "originD/keyframe.h"
#include "originD/names.h"
#include "originD/picture.h"
#include "originD/playlist.h"
#include "originD/replica/catalog.h"
#include "originD/stand_in.h"
#include "originD/stats.h"
#include "proto/parts.h"

#define STREAMS_US (US_PER_S / 2)
#define LONG_LIST_US (5 * US_PER_S)

enum look serve_look_none(struct serve_request *r, uint32_t ttl_ms)
{
        r->none_ttl_ms = ttl_ms;
        return LOOK_NONE;
}

/* What is made anew for each who asks is not given in pieces: they would be of different versions. */
static void take_all_at_once(struct serve_request *r)
{
        if (r->offset == 0 && r->max_bytes < FETCH_WHOLE_MAX)
                r->max_bytes = FETCH_WHOLE_MAX;
}

enum look serve_answer_bytes(struct serve_request *r, struct buf *bytes, uint64_t size, bool complete, uint8_t flags,
                              uint32_t ttl_ms, const char *content_type)
{
        if (r->offset > size)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        uint64_t left = size - r->offset;
        size_t len = left < r->max_bytes ? (size_t)left : r->max_bytes;
        if (complete && len == left)
                flags |= FETCH_COMPLETE;
        serve_reply(r, &(struct serve_answer){.flags = flags, .ttl_ms = ttl_ms, .content_type = content_type, .bytes = bytes,
                                         .from = (size_t)r->offset, .len = len, .size = size, .complete = complete});
        return LOOK_DONE;
}

enum look serve_look_error(struct serve_request *r, int status)
{
        serve_reply(r, &(struct serve_answer){.status = status});
        return LOOK_DONE;
}

/* Another origin asks for what it is to store. It has to know whether there never was such a segment, for that is a hole in its copy
 * too, or whether it only cannot be had from here now. */
static bool is_for_copy(const struct serve_request *r)
{
        return r->from_node && r->hops == FETCH_HOPS_MAX;
}

/* The segment was stored, here or elsewhere, but cannot be had from here now. */
static enum look look_unreadable(struct serve_request *r)
{
        return serve_look_error(r, is_for_copy(r) ? ERR_CORRUPT : ERR_IO);
}

/* What was read, or not, is not on its way any more. true: its file went to the archive before its turn at the disk came, so r is looked
 * at again, and may be gone. */
bool serve_end_read(struct serve_request *r, struct chunk_log *log, const struct segment_view *v, int status, struct buf **bytes)
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
        serve_resolve(r->serve, r);
        return true;
}

static void read_done(void *arg, int status)
{
        struct serve_request *r = arg;
        struct buf *bytes;
        if (serve_end_read(r, r->log, &r->view, status, &bytes))
                return;
        bool all = r->offset + bytes->len == r->object_bytes;
        struct serve_answer a = {.status = status,
                                 .flags = FETCH_IMMUTABLE | (all && r->view.complete ? FETCH_COMPLETE : 0),
                                 .ttl_ms = TTL_MEDIA_MS,
                                 .content_type = init_type(&r->log->init),
                                 .bytes = bytes,
                                 .len = bytes->len,
                                 .size = r->object_bytes,
                                 .complete = r->view.complete,
                                 .kept = r->slow_taker};
        if (status && status != ERR_FULL && is_for_copy(r)) /* that its file is gone is no absence either */
                a = (struct serve_answer){.status = ERR_CORRUPT};
        else if (status)
                a = (struct serve_answer){.status = status == ERR_NOT_FOUND || status == ERR_FULL ? status : ERR_IO};
        serve_reply(r, &a);
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
                log_error("path=%s volume=%06u msg=\"another origin is not given what the disk has changed\" offset=%llu", c->dir,
                          c->volume, (unsigned long long)c->offset);
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

/* Nothing that an object store says is "not found" here: a row says that it is there, and other owners may have it. What it has, and
 * is not what was stored, cannot be read; otherwise it may be had later. */
static void archive_read_done(void *arg, int err, const char *words)
{
        struct serve_request *r = arg;
        (void)words; /* the archive logs what is wrong with it */
        bool bad = err == ERR_NOT_FOUND || err == ERR_CORRUPT || err == ERR_PROTO || err == ERR_IO;
        int status = !err ? 0 : bad ? ERR_IO : ERR_FULL;
        if (r->parsed.kind == KEY_RECORDING || r->parsed.kind == KEY_PIECE)
                serve_recording_read_done(r, status);
        else if (serve_is_picture(r))
                serve_picture_read_done(r, status);
        else
                read_done(r, status);
}

/* Fills r->reading from there. ERR_FULL, ERR_IO: nothing is on its way. */
static int read_archived(struct serve *sv, struct serve_request *r, const struct session *s, const struct chunk_log *log,
                         const struct segment_view *v, uint64_t from)
{
        if (!sv->archive)
                return ERR_IO;
        const struct volume_row *row = volumes_get(&log->closed, v->volume);
        assert(row); /* v is of it, and nothing came between */
        char *idx = volume_path(log->dir, v->volume, "idx"), *name = archive_name(s->stream, s->id, log->dir, v->volume, row->sum.crc);
        struct archive_volume volume = {.name = name, .idx_path = idx};
        int rc = archive_read(sv->archive, &volume, from, r->reading, archive_read_done, r);
        free(name);
        free(idx);
        return rc;
}

/* Asks the disk, or the archive, for len bytes of the volume that v is in. */
enum look serve_read_media(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log,
                            const struct segment_view *v, uint64_t from, size_t len, disk_done *done)
{
        r->log = log;
        r->reading = buf_new(len);
        if (v->archived) {
                int rc = read_archived(sv, r, s, log, v, from);
                if (rc) {
                        buf_unref(&r->reading);
                        return rc == ERR_IO ? look_unreadable(r) : serve_look_error(r, rc);
                }
        }
        r->pinned = s;
        s->pins++;
        s->reads += !v->archived;
        if (v->archived)
                return LOOK_DONE;
        stat_add(STAT_DISK_READS, 1);
        enum disk_class pool = r->asking.kind == READ_LIVE ? DISK_LIVE : DISK_COLD;
        if (is_for_copy(r) && r->parsed.kind == KEY_SEGMENT) {
                read_for_copy(sv, r, log, pool);
                return LOOK_DONE;
        }
        char *path = volume_path(log->dir, v->volume, "mp4");
        disk_read(sv->loop, pool, path, from, r->reading, done, r);
        free(path);
        return LOOK_DONE;
}

/* Whether r may ask the disk now. */
bool serve_has_turn(struct serve_request *r, enum read_kind kind)
{
        r->wants = kind;
        return r->asking.state == ASKING_READS;
}

/* The same where what v tells of is: it may have waited for its turn at the disk, to have the index read, which it gives back then. */
bool serve_has_turn_for(struct serve *sv, struct serve_request *r, const struct segment_view *v, enum read_kind here)
{
        if (!v->archived)
                return serve_has_turn(r, here);
        if (r->asking.state == ASKING_READS && r->asking.kind != READ_ARCHIVE)
                askers_leave(&sv->askers, &r->asking);
        return serve_has_turn(r, READ_ARCHIVE);
}

enum read_kind serve_kind_of_read(const struct session *s, const struct chunk_log *log, uint32_t segment)
{
        const struct index *ix = &log->index;
        uint32_t last = ix->count ? ix->rows[ix->count - 1].segment : 0;
        return s->state == SESSION_LIVE && segment + LIVE_READ_SEGMENTS >= last ? READ_LIVE : READ_OLD;
}

/* Asks for what is wanted of the segment that r->view tells of. */
static enum look read_segment(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log)
{
        const struct segment_view *v = &r->view;
        uint64_t from = r->offset - r->view_at, left = v->len_bytes - from;
        if (!serve_has_turn_for(sv, r, v, serve_kind_of_read(s, log, r->parsed.segment)))
                return LOOK_TURN;
        return serve_read_media(sv, r, s, log, v, v->offset + from, left < r->max_bytes ? (size_t)left : r->max_bytes, read_done);
}

static size_t read_bytes(void *arg, uint64_t pos, void *dst, size_t max)
{
        memcpy(dst, ((const struct buf *)arg)->data + pos, max);
        return max;
}

/* A part of it, when that is whole. Parts are told of the newest segments, which are in memory. */
static enum look look_at_part(struct serve_request *r, const struct init_info *init)
{
        const struct segment_view *v = &r->view;
        struct parts_of p = {.read = read_bytes, .arg = v->bytes, .len_bytes = v->len_bytes, .complete = v->complete,
                             .chunks = r->part_chunks};
        uint64_t from, len;
        enum part_state state = v->bytes ? parts_find(&p, r->part, &from, &len) : PART_NONE;
        if (state != PART_HERE)
                return state == PART_NOT_YET ? LOOK_WAIT : serve_look_none(r, TTL_NEVER_MS);
        uint64_t identity = 1 + r->part * (uint64_t)PART_CHUNKS_MAX + r->part_chunks;
        serve_reply(r, &(struct serve_answer){.flags = FETCH_IMMUTABLE | FETCH_COMPLETE, .ttl_ms = TTL_MEDIA_MS,
                                         .content_type = init_type(init), .bytes = v->bytes, .from = (size_t)from, .len = (size_t)len, .size = len, .complete = true,
                                         .identity = identity});
        return LOOK_DONE;
}

static enum look look_at_stored(struct serve *sv, struct serve_request *r, struct session *s, struct chunk_log *log)
{
        const struct segment_view *v = &r->view;
        if (r->part_chunks)
                return look_at_part(r, &log->init);
        if (r->offset == v->len_bytes && !v->complete)
                return LOOK_WAIT;
        if (v->bytes || r->offset >= v->len_bytes)
                return serve_answer_bytes(r, v->bytes, v->len_bytes, v->complete, FETCH_IMMUTABLE, TTL_MEDIA_MS, init_type(&log->init));
        r->view_at = 0;
        r->object_bytes = v->len_bytes;
        return read_segment(sv, r, s, log);
}

/* The place is in memory: of the second that it is in. */
static enum look answer_place(struct serve_request *r, const struct joined_place *at, const struct init_info *init)
{
        uint64_t from = r->offset - at->at, left = at->view.len_bytes - from;
        size_t len = left < r->max_bytes ? (size_t)left : r->max_bytes;
        bool all = r->offset + len == at->size;
        serve_reply(r, &(struct serve_answer){.flags = FETCH_IMMUTABLE | (all ? FETCH_COMPLETE : 0), .ttl_ms = TTL_MEDIA_MS,
                                         .content_type = init_type(init), .bytes = at->view.bytes, .from = (size_t)from, .len = len,
                                         .size = at->size, .complete = true});
        return LOOK_DONE;
}

/* A segment that is not there: due soon, or never to come. */
static enum look look_ahead(struct serve_request *r, const struct session *s, const struct track *t, int64_t n)
{
        const struct index *ix = &t->log->index;
        int64_t last = ix->count ? (int64_t)ix->rows[ix->count - 1].segment : -1;
        int64_t edge_us = session_live_edge_us(s), edge = edge_us / SEGMENT_US;
        edge = edge > last ? edge : last;
        if (s->state == SESSION_ENDED || n < t->first_segment || n < last)
                return serve_look_none(r, TTL_NEVER_MS);
        if (n <= edge + DUE_SOON_SEGMENTS) {
                int64_t stored_us = (last + 1) * SEGMENT_US, from_us = n * SEGMENT_US - (edge_us > stored_us ? edge_us : stored_us);
                r->due_ms = from_us > 0 ? (uint32_t)(from_us / US_PER_MS) : 0;
                return LOOK_WAIT;
        }
        int64_t until_ms = (n - DUE_SOON_SEGMENTS - edge) * 1000;
        return serve_look_none(r, until_ms < TTL_UNKNOWN_MS ? (uint32_t)until_ms : TTL_UNKNOWN_MS);
}

/* Whether the session's tracks are there: LOOK_DONE. Of a recording they are read first; when that fails r is answered and *over. */
static enum look look_loaded(struct serve_request *r, struct session *s, bool *over)
{
        *over = false;
        if (session_loadable(s)) { /* which takes as long as many reads do */
                if (!serve_has_turn(r, READ_OLD))
                        return LOOK_TURN;
                session_load(s);
        }
        *over = s->load == LOAD_FAILED || s->load == LOAD_NO; /* LOAD_NO: the disk has too much to do */
        if (*over)
                serve_reply(r, &(struct serve_answer){.status = s->load == LOAD_NO ? ERR_FULL : ERR_IO});
        return s->load == LOAD_DONE || *over ? LOOK_DONE : LOOK_LOADING;
}

/* What chunk_log_segment() says of what is not there to be read. */
static enum look look_at_none(struct serve_request *r, enum segment_state state)
{
        switch (state) {
        case SEGMENT_UNREAD:
                return LOOK_TURN;
        case SEGMENT_LOADING:
                return LOOK_LOADING;
        case SEGMENT_BUSY:
                return serve_look_error(r, ERR_FULL);
        case SEGMENT_UNREADABLE:
                return look_unreadable(r);
        case SEGMENT_LACKING: /* another origin is asked next; if none has it, it may yet be brought from one */
                return is_for_copy(r) ? look_unreadable(r) : serve_look_none(r, TTL_UNKNOWN_MS);
        default:
                return serve_look_none(r, TTL_NEVER_MS);
        }
}

enum look serve_look_segment(struct serve *sv, struct serve_request *r, struct session *s, struct track *t)
{
        if (t->unreadable)
                return serve_look_error(r, ERR_IO);
        if (!t->log)
                return LOOK_WAIT;
        bool turn = serve_has_turn(r, serve_kind_of_read(s, t->log, r->parsed.segment));
        enum segment_state state = chunk_log_segment(t->log, r->parsed.segment, turn, &r->view);
        return state == SEGMENT_HERE   ? (serve_is_picture(r) ? serve_look_at_picture(sv, r, s, t) : look_at_stored(sv, r, s, t->log))
               : state == SEGMENT_NONE ? look_ahead(r, s, t, r->parsed.segment)
                                       : look_at_none(r, state);
}

/* A picture is made of another second of the track. What stands in is told for as long as that there is nothing would be. */
enum look serve_look_stand_in(struct serve *sv, struct serve_request *r)
{
        bool picture = r->parsed.kind == KEY_PICTURE, single = r->parsed.kind == KEY_SEGMENT && !r->parsed.joined && !r->part_chunks;
        bool may = (picture || single) && !r->stands_in && !is_for_copy(r);
        struct session *s = may ? serve_wanted_session(sv, &r->parsed) : NULL;
        struct track *t = s && s->load == LOAD_DONE ? session_track(s, r->parsed.track) : NULL;
        struct stand_in in;
        if (!t || !t->log || t->init.kind == (picture ? TRACK_AUDIO : TRACK_PICTURES) || !stand_in_find(s, t, &in) ||
            !stand_in_has(&in, r->parsed.segment))
                return LOOK_NONE;
        if (t->init.kind == TRACK_AUDIO) {
                struct buf *silence = stand_in_silence(&in, &t->init, r->parsed.segment);
                enum look l = serve_answer_bytes(r, silence, silence->len, true, 0, TTL_NEVER_MS, init_type(&t->init));
                buf_unref(&silence);
                return l;
        }
        r->stands_in = true;
        r->stands_for = r->parsed.segment;
        r->parsed.segment = stand_in_source(&in, r->stands_for);
        return serve_look_segment(sv, r, s, t);
}

/* Several seconds as one segment, when all of them are there: answered second by second. */
static enum look look_joined(struct serve *sv, struct serve_request *r, struct session *s)
{
        struct track *t = session_track(s, r->parsed.track);
        struct joined_place at;
        bool not_yet;
        if (!t)
                return serve_look_none(r, s->state == SESSION_LIVE ? TTL_UNKNOWN_MS : TTL_NEVER_MS);
        if (t->unreadable)
                return serve_look_error(r, ERR_IO);
        if (!t->log)
                return LOOK_WAIT;
        bool turn = serve_has_turn(r, serve_kind_of_read(s, t->log, r->parsed.segment));
        enum segment_state state = joined_find(s, t, &r->parsed, r->offset, turn, &at, &not_yet);
        if (not_yet) /* whole is the last second when the next one begins */
                return look_ahead(r, s, t, (int64_t)r->parsed.segment + r->parsed.joined);
        if (state != SEGMENT_HERE)
                return look_at_none(r, state);
        if (at.view.bytes || r->offset == at.size)
                return answer_place(r, &at, &t->init);
        r->view = at.view;
        r->view_at = at.at;
        r->object_bytes = at.size;
        return read_segment(sv, r, s, t->log);
}

static enum look look_segment(struct serve *sv, struct serve_request *r, struct session *s)
{
        struct track *t = session_track(s, r->parsed.track);
        bool wrong = t && r->parsed.kind == KEY_PICTURE && t->init.kind == TRACK_AUDIO;
        if (!t || wrong)
                return serve_look_none(r, s->state == SESSION_LIVE ? TTL_UNKNOWN_MS : TTL_NEVER_MS);
        return serve_look_segment(sv, r, s, t);
}

static enum look look_init(struct serve_request *r, struct session *s)
{
        struct track *t = session_track(s, r->parsed.track);
        if (!t)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        if (t->unreadable)
                return serve_look_error(r, ERR_IO);
        if (t->making)
                return LOOK_WAIT;
        return serve_answer_bytes(r, t->init_bytes, t->init_bytes->len, true, FETCH_IMMUTABLE, TTL_MEDIA_MS, init_type(&t->init));
}

/* The index of a volume with a hole is read before the hole is left out. LOOK_DONE: all are known, or cannot be; *over: r is answered. */
static enum look look_at_holes(struct serve_request *r, const struct session *s, bool *over)
{
        struct segment_view v;
        *over = false;
        for (size_t i = 0; i < s->track_count && s->state == SESSION_ENDED; i++) {
                struct track *t = s->tracks[i];
                const struct volume_row *row = t->log && t->init.kind < TRACK_KINDS ? track_unseen_hole(s, t) : NULL;
                enum segment_state state = SEGMENT_NONE;
                if (row)
                        state = chunk_log_segment(t->log, row->sum.first_segment, serve_has_turn(r, READ_OLD), &v);
                *over = state == SEGMENT_BUSY;
                if (*over)
                        return serve_look_error(r, ERR_FULL);
                if (state == SEGMENT_UNREAD || state == SEGMENT_LOADING)
                        return state == SEGMENT_UNREAD ? LOOK_TURN : LOOK_LOADING;
        }
        return LOOK_DONE;
}

/* How far back one can go is each stream's own. That is looked up once: playlists are asked for several times a second. */
static struct manifest_options options_for(struct serve *sv, const struct session *s)
{
        struct manifest_options o = sv->manifest;
        if (!s->of_stream->rewind_s)
                s->of_stream->rewind_s = retention_rewind_s(sv->store, s->stream);
        o.time_shift_s = s->of_stream->rewind_s;
        return o;
}

/* Whether there can be a manifest hangs on time too. Players of HLS wait for each part of a playlist, and those that wait are not looked at for
 * that alone. */
static enum look look_unready(struct serve_request *r, const struct session *s)
{
        r->by_time = s->state == SESSION_LIVE;
        return r->by_time ? LOOK_WAIT : serve_look_none(r, TTL_UNKNOWN_MS);
}

static enum look look_manifest(struct serve *sv, struct serve_request *r, struct session *s)
{
        const struct manifest_format *f = manifest_format(r->parsed.file);
        bool over;
        if (f->of_ended && s->state == SESSION_LIVE)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        if (!manifest_ready(s, clock_mono_us()))
                return look_unready(r, s);
        enum look holes = look_at_holes(r, s, &over);
        if (over || holes != LOOK_DONE)
                return holes;
        bool entry = r->parsed.kind == KEY_ENTRY, for_ever = !entry && session_at_rest(s);
        if (!for_ever)
                take_all_at_once(r);
        struct manifest_options o = options_for(sv, s);
        struct buf *text = f->write(s, &o, entry);
        enum look l = serve_answer_bytes(r, text, text->len, true, for_ever ? FETCH_IMMUTABLE : 0,
                                   for_ever ? TTL_MEDIA_MS : TTL_MANIFEST_MS, f->content_type);
        buf_unref(&text);
        return l;
}

static enum playlist_state look_classic(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        return classic_ready(s, t, o) ? PLAYLIST_READY : s->state == SESSION_LIVE ? PLAYLIST_NOT_YET : PLAYLIST_FAR;
}

static enum look look_playlist(struct serve *sv, struct serve_request *r, struct session *s)
{
        const struct track *t = session_track(s, r->parsed.track);
        bool for_ever = session_at_rest(s), over;
        if (!t)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        if (t->unreadable)
                return serve_look_error(r, ERR_IO);
        if (!t->log || !manifest_ready(s, clock_mono_us()))
                return look_unready(r, s);
        if (playlist_too_long(s, t))
                return serve_look_none(r, TTL_NEVER_MS);
        struct manifest_options o = options_for(sv, s);
        switch (r->parsed.classic ? look_classic(s, t, &o) : playlist_look(s, t, &r->parsed)) {
        case PLAYLIST_READY:
                break;
        case PLAYLIST_NOT_YET:
                return LOOK_WAIT;
        case PLAYLIST_FAR:
                return serve_look_none(r, TTL_UNKNOWN_MS);
        }
        enum look holes = look_at_holes(r, s, &over);
        if (over || holes != LOOK_DONE)
                return holes;
        bool pictures = t->init.kind == TRACK_PICTURES, classic = r->parsed.classic, keys = r->parsed.keys;
        bool lasts = pictures || classic || keys || r->parsed.waits;
        struct buf *text = pictures  ? picture_playlist(s, t, &o)
                           : keys    ? keyframe_playlist(s, t, &o)
                           : classic ? classic_write(s, t, &o)
                                     : playlist_write(s, t, &o, &r->parsed);
        if (!for_ever)
                take_all_at_once(r);
        enum look l = serve_answer_bytes(r, text, text->len, true, for_ever ? FETCH_IMMUTABLE : 0,
                                   for_ever ? TTL_MEDIA_MS : lasts ? TTL_MANIFEST_MS : TTL_PLAYLIST_MS, PLAYLIST_TYPE);
        buf_unref(&text);
        return l;
}

/* The live session, or the newest one that can be played. */
struct session *serve_current_session(struct serve *sv, const char *stream_id)
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

/* true: it is made. */
bool serve_make_list(struct serve *sv)
{
        struct serve_list *l = &sv->streams;
        struct buf *text = streams_go_on(&l->making, sv->store, &sv->known);
        if (!text)
                return false;
        buf_unref(&l->text);
        l->text = text;
        l->made_mono_us = clock_mono_us();
        return true;
}

/* One text for all the pages of it: a longer one is kept for those who have begun to read. A short one is made at once. */
static enum look look_streams(struct serve *sv, struct serve_request *r)
{
        struct serve_list *l = &sv->streams;
        int64_t now = clock_mono_us(), keep_us = l->text && l->text->len > BODY_MAX ? LONG_LIST_US : STREAMS_US;
        if (!l->text || (r->offset == 0 && now - l->made_mono_us >= keep_us)) {
                if (l->making)
                        return LOOK_LOADING;
                l->making = streams_begin();
                if (!serve_make_list(sv)) {
                        serve_list_goes_on(sv);
                        return LOOK_LOADING;
                }
        }
        return serve_answer_bytes(r, l->text, l->text->len, true, 0, TTL_MANIFEST_MS, JSON_TYPE);
}

static enum look look_page(struct serve *sv, struct serve_request *r)
{
        struct buf *text = recordings_json(sv->store, &r->parsed);
        enum look l = serve_answer_bytes(r, text, text->len, true, 0, TTL_MANIFEST_MS, JSON_TYPE);
        buf_unref(&text);
        return l;
}

static enum look look_peer_live(struct serve *sv, struct serve_request *r)
{
        struct buf *page = catalog_write_live(sv->store, r->parsed.since, r->parsed.before_ms, r->parsed.session);
        enum look l = serve_answer_bytes(r, page, page->len, true, 0, TTL_MANIFEST_MS, JSON_TYPE);
        buf_unref(&page);
        return l;
}

static enum look look_names(struct serve *sv, struct serve_request *r)
{
        if (r->wait_ms && !names_have_news(sv->store, r->parsed.instance, r->parsed.since))
                return LOOK_WAIT;
        struct buf *page = names_page(sv->store, r->parsed.instance, r->parsed.since, sv->settled);
        enum look l = serve_answer_bytes(r, page, page->len, true, 0, 0, NULL);
        buf_unref(&page);
        return l;
}

enum look serve_look_peer(struct serve *sv, struct serve_request *r)
{
        if (!r->from_node || r->parsed.kind == KEY_VIEWERS) /* which edges alone know */
                return serve_look_none(r, TTL_NEVER_MS);
        if (r->parsed.kind == KEY_PEER_LIVE)
                return look_peer_live(sv, r);
        if (r->parsed.kind == KEY_NAMES)
                return look_names(sv, r);
        if (r->parsed.kind == KEY_PEER_EVENTS && !sv->events.settled)
                return serve_look_none(r, TTL_NEVER_MS);
        struct session *s = r->parsed.kind == KEY_PEER_SESSION ? store_session(sv->store, r->parsed.session) : NULL;
        if (!s && r->parsed.kind == KEY_PEER_SESSION &&
            (store_unreadable(sv->store, r->parsed.session) || removals_have(sv->store, r->parsed.session)))
                return serve_look_error(r, ERR_IO); /* that it is not here is not known */
        bool over = false;
        enum look loaded = s ? look_loaded(r, s, &over) : LOOK_DONE;
        if (over || loaded != LOOK_DONE)
                return loaded;
        struct buf *text = r->parsed.kind == KEY_PEER_EVENTS  ? sv->events.settled(sv->events.arg)
                           : r->parsed.kind == KEY_PEER_ENDED ? catalog_write_ended(sv->store, r->parsed.since)
                                                              : catalog_write_one(s, r->parsed.below);
        enum look l = serve_answer_bytes(r, text, text->len, true, 0, 0, JSON_TYPE);
        buf_unref(&text);
        return l;
}

struct session *serve_wanted_session(struct serve *sv, const struct key *k)
{
        if (k->kind == KEY_ENTRY)
                return serve_current_session(sv, k->stream);
        struct session *s = store_session(sv->store, k->session);
        return s && strcmp(s->stream, k->stream) == 0 ? s : NULL;
}

enum look serve_look(struct serve *sv, struct serve_request *r)
{
        if (r->parsed.kind == KEY_STREAMS)
                return look_streams(sv, r);
        if (r->parsed.kind == KEY_RECORDINGS)
                return look_page(sv, r);
        struct session *s = r->parsed.kind == KEY_NONE ? NULL : serve_wanted_session(sv, &r->parsed);
        bool over;
        if (!s && is_for_copy(r) && store_unreadable(sv->store, r->parsed.session))
                return serve_look_error(r, ERR_IO);
        if (!s)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        enum look loaded = look_loaded(r, s, &over);
        if (over || loaded != LOOK_DONE)
                return loaded;
        switch (r->parsed.kind) {
        case KEY_SEGMENT:
                if (r->parsed.joined)
                        return r->part_chunks ? serve_look_none(r, TTL_NEVER_MS) : look_joined(sv, r, s);
                return look_segment(sv, r, s);
        case KEY_PICTURE:
                return look_segment(sv, r, s);
        case KEY_PLAYLIST:
                return look_playlist(sv, r, s);
        case KEY_INIT:
                return look_init(r, s);
        case KEY_FACTS:
        case KEY_PIECE:
        case KEY_RECORDING:
                return serve_look_recording(sv, r, s);
        default:
                return serve_is_picture(r) ? serve_look_poster(sv, r, s) : look_manifest(sv, r, s);
        }
}

/* A recording as one file, and pieces of it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "originD/log/file.h"
#include "originD/log/records.h"
#include "originD/serve_impl.h"
#include "originD/stats.h"

#define HEADER_SLICE_BYTES (64u << 10)
#define RUNS_MAX 128 /* of one answer: a minute of two tracks */
#define FILES_MAX 4

static struct recording_wish wish_of(const struct key *k)
{
        struct recording_wish w = {.from = k->from, .to = k->to, .ondemand = k->ondemand};
        strcpy(w.track, k->track);
        return w;
}

static const char *recording_type(const struct serve_request *r, const struct session *s)
{
        struct recording_tracks c;
        struct recording_wish w = wish_of(&r->parsed);
        recording_choose(&c, s, &w);
        return c.count && c.tracks[0]->init.kind == TRACK_VIDEO ? INIT_TYPE_PICTURE : INIT_TYPE_SOUND;
}

/* A piece's name says of which file it is; the file's does not. */
static uint8_t recording_flags(const struct serve_request *r, bool all)
{
        return (uint8_t)((r->parsed.kind == KEY_PIECE ? FETCH_IMMUTABLE : 0) | (all ? FETCH_COMPLETE : 0));
}

void serve_recording_read_done(void *arg, int status)
{
        struct serve_request *r = arg;
        const struct session *s = r->pinned;
        struct buf *bytes;
        const char *type = recording_type(r, s);
        if (serve_end_read(r, r->log, &r->place.view, status, &bytes))
                return;
        bool all = r->offset + bytes->len == r->whole;
        struct serve_answer a = {.flags = recording_flags(r, all), .ttl_ms = r->parsed.kind == KEY_PIECE ? TTL_MEDIA_MS : 0,
                                 .content_type = type, .bytes = bytes, .len = bytes->len, .size = r->whole, .identity = r->identity,
                                 .complete = true, .kept = r->slow_taker};
        if (status) /* its volume's row says that it is here: that is no absence */
                a = (struct serve_answer){.status = status == ERR_FULL ? ERR_FULL : ERR_IO};
        serve_reply(r, &a);
        buf_unref(&bytes);
}

/* ---- several segments in one answer ------------------------------------------------------------------------------ */

/* Segments that follow each other in the recording lie in the files of its tracks, and those of a small one are many to a piece. One
 * answer has as many as it may: each would be a FETCH, and to a far edge a round trip, otherwise. */
struct gathered {
        struct serve_request *r;
        struct buf *into;
        struct gathered_file {
                const struct chunk_log *log;
                uint32_t volume;
                char *path;
        } files[FILES_MAX];
        struct gathered_run {
                size_t file;
                uint64_t offset;
                size_t at, len_bytes; /* at: in the answer */
        } runs[RUNS_MAX];
        size_t file_count, run_count, len_bytes;
        int status;
};

static void gathered_work(void *arg)
{
        struct gathered *g = arg;
        for (size_t f = 0; f < g->file_count && !g->status; f++) {
                int fd = file_open(g->files[f].path, O_RDONLY);
                g->status = fd < 0 ? fd : 0;
                for (size_t i = 0; i < g->run_count && !g->status; i++) {
                        const struct gathered_run *run = &g->runs[i];
                        if (run->file == f)
                                g->status = file_read_all(fd, g->into->data + run->at, run->len_bytes, run->offset);
                }
                if (fd >= 0)
                        close(fd);
        }
}

static void free_gathered(struct gathered *g)
{
        for (size_t f = 0; f < g->file_count; f++)
                free(g->files[f].path);
        buf_unref(&g->into);
        free(g);
}

/* What can be read of them is given all the same, as if each had been asked for. */
static void look_one_by_one(struct serve_request *r, int status)
{
        struct buf *bytes;
        r->one_by_one = true;
        if (serve_end_read(r, r->log, &r->place.view, status, &bytes))
                return;
        buf_unref(&bytes);
        serve_resolve(r->serve, r);
}

static void gathered_done(void *arg)
{
        struct gathered *g = arg;
        struct serve_request *r = g->r;
        int status = g->status;
        bool several = g->run_count > 1;
        free_gathered(g);
        if (status && status != ERR_FULL && several)
                look_one_by_one(r, status);
        else
                serve_recording_read_done(r, status);
}

/* Its place among the files; FILES_MAX: there are too many. */
static size_t file_of(struct gathered *g, const struct recording_place *at)
{
        size_t f = 0;
        while (f < g->file_count && (g->files[f].log != at->log || g->files[f].volume != at->view.volume))
                f++;
        if (f < g->file_count || f == FILES_MAX)
                return f;
        g->files[f] = (struct gathered_file){at->log, at->view.volume, volume_path(at->log->dir, at->view.volume, "mp4")};
        g->file_count++;
        return f;
}

static bool add_run(struct gathered *g, const struct recording_place *at, size_t most)
{
        size_t f = file_of(g, at), len = at->view.len_bytes - at->skip;
        if (f == FILES_MAX || g->run_count == RUNS_MAX)
                return false;
        len = len < most ? len : most;
        g->runs[g->run_count++] = (struct gathered_run){f, at->view.offset + at->skip, g->len_bytes, len};
        g->len_bytes += len;
        return true;
}

/* From r->place on, which is the file's at `place`: as far as indexes are in memory, and media is here. */
static enum look read_gathered(struct serve *sv, struct serve_request *r, struct session *s, const struct layout *l, uint64_t place,
                               size_t most)
{
        struct gathered *g = mem_alloc(sizeof(*g));
        struct recording_plan plan = r->plan;
        struct recording_place at = r->place;
        g->r = r;
        while (add_run(g, &at, most - g->len_bytes) && g->len_bytes < most)
                if (recording_find(l, s, place + g->len_bytes, false, &plan, &at) != SEGMENT_HERE || at.view.archived)
                        break;
        r->log = r->place.log;
        r->reading = buf_new(g->len_bytes);
        g->into = buf_ref(r->reading);
        r->pinned = s;
        s->pins++;
        s->reads++;
        stat_add(STAT_DISK_READS, 1);
        if (disk_run(sv->loop, DISK_COLD, gathered_work, gathered_done, g)) {
                g->status = ERR_FULL;
                gathered_done(g);
        }
        return LOOK_DONE;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* What an edge is told of a file, or of why there is none. Takes the text. */
static enum look answer_json(struct serve_request *r, char *text)
{
        struct buf *bytes = buf_copy(text, strlen(text));
        enum look done = serve_answer_bytes(r, bytes, bytes->len, true, 0, TTL_MANIFEST_MS, JSON_TYPE);
        buf_unref(&bytes);
        free(text);
        return done;
}

/* Takes the words, which have nothing that JSON escapes. A piece is bytes of the file, and never words. */
static enum look answer_cannot(struct serve_request *r, char *words)
{
        if (r->parsed.kind == KEY_PIECE) {
                free(words);
                return serve_look_none(r, TTL_UNKNOWN_MS);
        }
        if (r->parsed.kind == KEY_FACTS) {
                char *text = mem_printf(KEY_FACTS_CANNOT "\"%s\"}\n", words);
                free(words);
                return answer_json(r, text);
        }
        struct buf *bytes = buf_copy(words, strlen(words));
        serve_reply(r, &(struct serve_answer){.status = ERR_UNSUPPORTED, .bytes = bytes, .len = bytes->len});
        buf_unref(&bytes);
        free(words);
        return LOOK_DONE;
}

static enum look answer_no_track(struct serve_request *r, const struct session *s)
{
        char all[SESSION_TRACKS_MAX * (TRACK_NAME_MAX + 2)];
        recording_list_tracks(s, all, sizeof(all));
        return answer_cannot(r, mem_printf("there is no track %s in this recording, which has %s", r->parsed.track, *all ? all : "none"));
}

/* What the state says of a recording that is not there, or not yet. */
static enum look look_recording_later(struct serve_request *r, enum segment_state state, const struct layout *l)
{
        switch (state) {
        case SEGMENT_UNREAD:
                return LOOK_TURN;
        case SEGMENT_LOADING:
                return LOOK_LOADING;
        case SEGMENT_BUSY:
                return serve_look_error(r, ERR_FULL);
        case SEGMENT_UNREADABLE:
                if (l && l->failed == ERR_LIMIT)
                        return answer_cannot(r, mem_strdup("this is too long for one file: ask for a part of it, "
                                                           "?from=SECONDS&to=SECONDS"));
                return serve_look_error(r, ERR_IO);
        case SEGMENT_LACKING:
                return serve_look_error(r, ERR_NOT_YET);
        default:
                return serve_look_none(r, TTL_UNKNOWN_MS);
        }
}

/* A slice of the header: of a day it is 41 MB, and those who read it slowly are to hold little. */
static enum look answer_header(struct serve_request *r, const struct session *s, const struct layout *l, uint64_t at, uint64_t left)
{
        size_t len = (size_t)(l->header.len - at), most = r->slow_taker ? HEADER_SLICE_BYTES : r->max_bytes;
        most = most < r->max_bytes ? most : r->max_bytes;
        len = len < most ? len : most;
        len = len < left ? len : (size_t)left;
        struct buf *slice = buf_new(len);
        recording_header_read(&l->header, at, slice->data, len);
        serve_reply(r, &(struct serve_answer){.flags = recording_flags(r, len == left),
                                         .ttl_ms = r->parsed.kind == KEY_PIECE ? TTL_MEDIA_MS : 0, .content_type = recording_type(r, s),
                                         .bytes = slice, .len = len, .size = r->whole, .identity = l->identity, .complete = true});
        buf_unref(&slice);
        return LOOK_DONE;
}

/* What an edge needs to know before it says anything of the file. */
static enum look answer_facts(struct serve_request *r, const struct session *s, const struct layout *l)
{
        struct recording_tracks c;
        recording_choose(&c, s, &l->wish);
        return answer_json(r, mem_printf("{\"size\":%" PRIu64 ",\"identity\":\"%016" PRIx64 "\",\"type\":\"%s\",\"seconds\":%" PRIu32 "}\n",
                                         l->size, l->identity, recording_type(r, s), recording_seconds(&c, s)));
}

/* Of what goes on there are clips of what is stored. LOOK_DONE: r is answered; LOOK_NONE: there is nothing else to say against it. */
static enum look look_at_live(struct serve_request *r, const struct session *s, const struct recording_wish *w)
{
        struct recording_tracks c;
        struct recording_wish all = *w;
        all.from = 0;
        all.to = UINT32_MAX;
        recording_choose(&c, s, &all);
        uint32_t stored_s = recording_stored_s(&c, s);
        bool clip = w->from > 0 || w->to != UINT32_MAX;
        if (s->state != SESSION_LIVE || w->ondemand || !clip || w->to <= stored_s)
                return LOOK_NONE;
        if (w->to == UINT32_MAX)
                return answer_cannot(r, mem_printf("from=%u is given without to, but this broadcast goes on: to is to be given as well, "
                                                   "up to %u, which is what is stored by now", w->from, stored_s));
        return answer_cannot(r, mem_printf("to=%u is given, but this broadcast goes on: to may be up to %u, which is what is stored by "
                                           "now", w->to, stored_s));
}

/* Of the one file, or of a piece of it. */
enum look serve_look_recording(struct serve *sv, struct serve_request *r, struct session *s)
{
        struct recording_place *at = &r->place;
        struct layout *l;
        const struct key *k = &r->parsed;
        struct recording_wish w = wish_of(k);
        if (k->kind != KEY_PIECE && *k->track && s->state == SESSION_ENDED && !recording_has(s, k->track))
                return answer_no_track(r, s);
        if (k->kind != KEY_PIECE && look_at_live(r, s, &w) == LOOK_DONE)
                return LOOK_DONE;
        enum segment_state state = layouts_get(&sv->layouts, s, &w, serve_has_turn(r, READ_OLD), &l);
        if (state == SEGMENT_BUSY && !l)
                return LOOK_ROOM;
        if (state != SEGMENT_HERE)
                return look_recording_later(r, state, l);
        if (k->kind == KEY_FACTS)
                return answer_facts(r, s, l);
        uint64_t from = k->kind == KEY_PIECE ? (uint64_t)k->piece * RECORDING_PIECE_BYTES : 0, end = l->size;
        if (k->kind == KEY_PIECE && end > from + RECORDING_PIECE_BYTES)
                end = from + RECORDING_PIECE_BYTES;
        if ((k->kind == KEY_PIECE && k->identity != l->identity) || from >= end || r->offset >= end - from)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        r->whole = end - from;
        r->identity = l->identity;
        uint64_t place = from + r->offset, left = end - place;
        state = recording_find(l, s, place, serve_has_turn(r, READ_OLD), &r->plan, at);
        if (state != SEGMENT_HERE)
                return look_recording_later(r, state, NULL);
        if (!at->log)
                return answer_header(r, s, l, place, left);
        if (!serve_has_turn_for(sv, r, &at->view, READ_OLD))
                return LOOK_TURN;
        size_t len = at->view.len_bytes - at->skip, most = r->max_bytes < BODY_MAX ? r->max_bytes : BODY_MAX;
        if (!at->view.archived && !r->slow_taker && !r->one_by_one)
                return read_gathered(sv, r, s, l, place, most < left ? most : (size_t)left);
        len = len < r->max_bytes ? len : r->max_bytes;
        len = len < left ? len : (size_t)left;
        return serve_read_media(sv, r, s, at->log, &at->view, at->view.offset + at->skip, len, serve_recording_read_done);
}

/* One picture: a still one of a track of pictures, or the first of a second of video, cut out. */
#include <stdio.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "originD/keyframe.h"
#include "originD/picture.h"
#include "originD/serve_impl.h"
#include "originD/stand_in.h"
#include "originD/stats.h"

bool serve_is_picture(const struct serve_request *r)
{
        return r->stands_in || r->parsed.kind == KEY_PICTURE || (r->parsed.file && strcmp(r->parsed.file, KEY_POSTER) == 0);
}

static struct buf *make_stand_in(const struct serve_request *r, const struct session *s, const uint8_t *data, size_t len)
{
        const struct track *t = session_track(s, r->parsed.track);
        struct stand_in in;
        return t && stand_in_find(s, t, &in) ? stand_in_picture(&in, &t->init, r->stands_for, data, len) : NULL;
}

static void give_key_picture(struct serve_request *r, const struct session *s, const uint8_t *data, size_t len, const struct init_info *init,
                             enum look *look)
{
        struct buf *cut = r->stands_in ? make_stand_in(r, s, data, len) : keyframe_cut(data, len, init, r->parsed.segment);
        stat_add(cut ? STAT_KEY_PICTURES : STAT_PICTURES_FAILED, 1);
        *look = cut ? serve_answer_bytes(r, cut, cut->len, true, r->stands_in ? 0 : FETCH_IMMUTABLE, r->stands_in ? TTL_NEVER_MS : TTL_MEDIA_MS,
                                         init_type(init))
                    : serve_look_error(r, ERR_IO);
        buf_unref(&cut);
}

/* Once a session: whoever looks for a place asks for it again and again. */
static void tell_damaged(const struct serve_request *r, const struct session *s)
{
        static char told[SESSION_ID_MAX + 1]; /* loop thread */
        if (strcmp(told, s->id) == 0)
                return;
        snprintf(told, sizeof(told), "%s", s->id);
        log_warn("session=%s stream=%s segment=%u msg=\"a still picture is damaged: it is not given, nor told of again\"", s->id, s->stream,
                 (unsigned)r->parsed.segment);
}

/* Of the segment that a picture is in, or its beginning: the answer; false: a second before has the picture, and is to be looked at. */
static bool give_picture(struct serve_request *r, const struct session *s, const uint8_t *data, size_t len, const struct init_info *init,
                         enum look *look)
{
        size_t from, bytes;
        bool ended = s->state == SESSION_ENDED && r->parsed.kind != KEY_ENTRY;
        bool for_ever = !r->stands_in && (ended || r->parsed.kind == KEY_PICTURE);
        *look = LOOK_DONE;
        if (init->kind != TRACK_PICTURES) {
                give_key_picture(r, s, data, len, init, look);
                return true;
        }
        if (!picture_in_segment(data, len, &from, &bytes)) {
                stat_add(STAT_PICTURES_FAILED, 1);
                tell_damaged(r, s);
                serve_look_error(r, ERR_IO);
                return true;
        }
        if (bytes == 0 && r->back < PICTURE_BACK_MAX && r->parsed.segment > 0) {
                r->back++;
                r->parsed.segment--;
                return false;
        }
        if (bytes == 0) {
                stat_add(STAT_PICTURES_NONE, 1);
                *look = serve_look_none(r, TTL_NEVER_MS);
                return true;
        }
        struct buf *file = buf_copy(data + from, bytes);
        stat_add(STAT_PICTURES, 1);
        *look = serve_answer_bytes(r, file, file->len, true, for_ever ? FETCH_IMMUTABLE : 0,
                                   for_ever ? TTL_MEDIA_MS : r->stands_in ? TTL_NEVER_MS : TTL_MANIFEST_MS, PICTURE_TYPE);
        buf_unref(&file);
        return true;
}

void serve_picture_read_done(void *arg, int status)
{
        struct serve_request *r = arg;
        const struct session *s = r->pinned;
        struct serve *sv = r->serve;
        enum look look = LOOK_DONE;
        struct buf *bytes;
        if (serve_end_read(r, r->log, &r->view, status, &bytes))
                return;
        bool given = true;
        if (status) { /* its volume's row says that it is here: that is no absence */
                stat_add(STAT_PICTURES_FAILED, status != ERR_FULL);
                serve_look_error(r, status == ERR_FULL ? ERR_FULL : ERR_IO);
        } else {
                given = give_picture(r, s, bytes->data, bytes->len, &r->log->init, &look);
        }
        buf_unref(&bytes);
        if (!given)
                serve_resolve(sv, r);
        else if (look == LOOK_NONE)
                serve_reply(r, &(struct serve_answer){.status = ERR_NOT_FOUND, .ttl_ms = r->none_ttl_ms});
}

enum look serve_look_at_picture(struct serve *sv, struct serve_request *r, struct session *s, struct track *t)
{
        const struct segment_view *v = &r->view;
        enum look look;
        size_t len = v->len_bytes < KEYFRAME_READ_BYTES ? v->len_bytes : KEYFRAME_READ_BYTES;
        if (v->bytes)
                return give_picture(r, s, v->bytes->data, v->len_bytes, &t->init, &look) ? look : serve_look_segment(sv, r, s, t);
        if (!serve_has_turn_for(sv, r, v, serve_kind_of_read(s, t->log, r->parsed.segment)))
                return LOOK_TURN;
        return serve_read_media(sv, r, s, t->log, v, v->offset, len, serve_picture_read_done);
}

enum look serve_look_poster(struct serve *sv, struct serve_request *r, struct session *s)
{
        const struct track *shown = picture_track(s);
        if (!shown)
                return serve_look_none(r, TTL_UNKNOWN_MS);
        struct track *t = session_track(s, shown->name);
        if (!r->back)
                r->parsed.segment = picture_of_session(s, t);
        return serve_look_segment(sv, r, s, t);
}

#include "originD/picture.h"

#include <inttypes.h>

#include "common/clock.h"
#include "originD/m3u8.h"
#include "originD/playlist.h"
#include "proto/key.h"

#define EVERY_USUAL_S 5
#define EVERY_MOST_S KEY_PICTURE_EVERY_MAX

const struct track *picture_track(const struct session *s)
{
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (t->init.kind == TRACK_PICTURES && !t->making && t->log && track_facts(s, t).any)
                        return t;
        }
        return NULL;
}

uint32_t picture_every_s(const struct track *t)
{
        uint32_t s = t->fps_milli ? 1000 / t->fps_milli : EVERY_USUAL_S;
        return s < 1 ? 1 : s > EVERY_MOST_S ? EVERY_MOST_S : s;
}

bool picture_in_segment(const uint8_t *data, size_t len, size_t *from, size_t *len_bytes)
{
        uint64_t chunk_bytes;
        if (box_chunk_length(data, len, from, &chunk_bytes) || chunk_bytes != len)
                return false;
        *len_bytes = len - *from;
        return true;
}

uint32_t picture_of_session(const struct session *s, const struct track *t)
{
        struct track_facts f = track_facts(s, t);
        uint32_t first = track_first_segment(s, t), at = f.last_segment;
        if (s->state != SESSION_LIVE && at > first)
                at = first + (at - first) / 2;
        uint32_t made = at / picture_every_s(t) * picture_every_s(t);
        return made > first ? made : at;
}

static void write_head(struct m3u8 *x, const struct session *s, uint32_t every_s, int64_t number)
{
        m3u8_fmt(x, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%" PRIu32 "\n#EXT-X-MEDIA-SEQUENCE:%" PRId64 "\n#EXT-X-IMAGES-ONLY\n",
                 PLAYLIST_VERSION, every_s, number);
        if (s->state != SESSION_LIVE)
                m3u8_put(x, "#EXT-X-PLAYLIST-TYPE:VOD\n");
}

static void write_date(struct m3u8 *x, const struct session *s, int64_t second)
{
        char iso[CLOCK_ISO_MAX];
        m3u8_put(x, "#EXT-X-PROGRAM-DATE-TIME:");
        m3u8_put(x, clock_iso(iso, sizeof(iso), s->epoch_us + second * SEGMENT_US));
        m3u8_put(x, "\n");
}

struct buf *picture_playlist(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        struct m3u8 x = {0};
        struct track_facts f = track_facts(s, t);
        int64_t every_s = picture_every_s(t), end = (int64_t)f.last_segment + 1, first = track_first_segment(s, t);
        if (s->state == SESSION_LIVE && first < end - o->time_shift_s)
                first = end - o->time_shift_s;
        int64_t n = (first + every_s - 1) / every_s;
        write_head(&x, s, (uint32_t)every_s, n);
        if (n * every_s < end)
                write_date(&x, s, n * every_s);
        for (; n * every_s < end; n++) {
                int64_t left_s = end - n * every_s, lasts_s = s->state == SESSION_LIVE || left_s > every_s ? every_s : left_s;
                m3u8_fmt(&x, "#EXTINF:%" PRId64 ".0,\n#EXT-X-TILES:RESOLUTION=%ux%u,LAYOUT=1x1,DURATION=%" PRId64 ".0\n%" PRId64 "x%" PRId64
                             ".jpg\n", lasts_s, t->init.width, t->init.height, lasts_s, n, every_s);
        }
        if (s->state != SESSION_LIVE)
                m3u8_put(&x, "#EXT-X-ENDLIST\n");
        return m3u8_end(&x);
}

#include "originD/classic.h"

#include <inttypes.h>

#include "common/clock.h"
#include "originD/cues.h"
#include "originD/gaps.h"
#include "originD/m3u8.h"
#include "originD/playlist.h"
#include "originD/stand_in.h"

#define WINDOW_LEAST 5 /* segments: players begin three before the end, and reload when one is over */
#define DATE_EVERY 15

struct classic {
        int64_t each;       /* seconds of a segment */
        int64_t first, end; /* segments */
        struct playlist_span seconds;
        bool live;
        int64_t stop, stand_ins_end, end_us; /* where it ends; seconds [stop, stand_ins_end) are there behind it, one by one (stand_in.h) */
};

static struct classic look(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        struct classic c = {.each = o->classic_s, .seconds = playlist_span(s, t), .live = s->state == SESSION_LIVE};
        struct stand_in in;
        int64_t window = (o->time_shift_s + c.each - 1) / c.each;
        window = window > WINDOW_LEAST ? window : WINDOW_LEAST;
        /* What retention has taken a second of goes whole: otherwise it would become shorter. */
        c.first = c.seconds.begins ? c.seconds.first / c.each : (c.seconds.first + c.each - 1) / c.each;
        c.end = c.live ? c.seconds.end / c.each : (c.seconds.end + c.each - 1) / c.each;
        if (c.live && c.first < c.end - window)
                c.first = c.end - window;
        c.end_us = track_facts(s, t).end_us;
        if (stand_in_find(s, t, &in) && in.end > in.stop) {
                c.stop = in.stop;
                c.stand_ins_end = in.end;
                c.end_us = in.stop * SEGMENT_US;
        }
        return c;
}

bool classic_ready(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        struct classic c = look(s, t, o);
        return c.end > c.first;
}

static bool is_gap(struct gaps *g, const struct classic *c, int64_t segment)
{
        bool all = true;
        for (int64_t n = segment * c->each; n < (segment + 1) * c->each; n++)
                if (n >= c->seconds.first && n < c->seconds.end)
                        all &= gaps_have(g, n);
        return all;
}

/* From its first second to its last one, or to where a recording ends. */
static int64_t begin_us(const struct classic *c, int64_t segment)
{
        int64_t n = segment * c->each;
        return (n > c->seconds.first ? n : c->seconds.first) * SEGMENT_US;
}

static int64_t end_us(const struct classic *c, int64_t segment)
{
        int64_t us = (segment + 1) * c->each * SEGMENT_US;
        if (c->live || segment < c->end - 1)
                return us;
        return c->end_us < us && c->end_us > begin_us(c, segment) ? c->end_us : us;
}

struct buf *classic_write(const struct session *s, const struct track *t, const struct manifest_options *o)
{
        struct classic c = look(s, t, o);
        struct m3u8 x = {0};
        struct gaps gaps;
        char iso[CLOCK_ISO_MAX];
        m3u8_fmt(&x, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%" PRId64 "\n#EXT-X-INDEPENDENT-SEGMENTS\n", CLASSIC_VERSION, c.each);
        if (!c.live)
                m3u8_put(&x, "#EXT-X-PLAYLIST-TYPE:VOD\n");
        m3u8_fmt(&x, "#EXT-X-MEDIA-SEQUENCE:%" PRId64 "\n#EXT-X-MAP:URI=\"init.mp4\"\n", c.first);
        gaps_begin(&gaps, t, (uint32_t)c.seconds.first);
        for (int64_t n = c.first; n < c.end; n++) {
                int64_t from_us = begin_us(&c, n);
                if (n == c.first || n % DATE_EVERY == 0)
                        m3u8_fmt(&x, "#EXT-X-PROGRAM-DATE-TIME:%s\n", clock_iso(iso, sizeof(iso), s->epoch_us + from_us));
                if (is_gap(&gaps, &c, n))
                        m3u8_put(&x, "#EXT-X-GAP\n");
                m3u8_put(&x, "#EXTINF:");
                m3u8_seconds(&x, end_us(&c, n) - from_us);
                m3u8_fmt(&x, ",\n%" PRId64 "x%" PRId64 ".m4s\n", n, c.each);
        }
        for (int64_t n = c.stop; n < c.stand_ins_end; n++)
                m3u8_second(&x, n);
        cues_write(s->cues, &x, s->epoch_us, begin_us(&c, c.first), session_times_cues(s));
        if (!c.live)
                m3u8_put(&x, "#EXT-X-ENDLIST\n");
        return m3u8_end(&x);
}

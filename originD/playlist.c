#include "originD/playlist.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "originD/gaps.h"
#include "originD/m3u8.h"
#include "originD/stand_in.h"
#include "proto/parts.h"

#define PARTS_SEGMENTS 2    /* the newest whole ones, whose parts are told with those of the next: all within three target durations of the end */
#define SKIP_UNTIL_S 6      /* of six target durations a player is told again: the least there may be */
#define WINDOW_LEAST_S (SKIP_UNTIL_S + 2)
#define HOLD_BACK "3.0" /* three target durations */
#define PARTS_BACK 3     /* so many parts players stay behind, at least */
/* Times PART_MS lasts a part that does not come to the same number of pictures each time otherwise; of four a player would be as far
 * behind as with whole segments. */
#define PARTS_LONGEST 3
#define PART_SPARE_US 40000 /* beyond its chunks: the target lasts so much longer than they do, unless its pictures last longer still */
#define PART_USUAL 2 /* times PART_MS, where nobody knows how often pictures come */
#define PART_USUAL_US (PART_USUAL * PART_MS * US_PER_MS + PART_SPARE_US)
#define PART_LEAST_PERCENT 85 /* of the target, but for a segment's last one (RFC 8216bis, 4.4.4.9) */
#define PART_GOOD_PERCENT 86  /* of a target that has room for what is not quite as it should be */
#define PART_OFF_US 1000      /* RTMP counts milliseconds: a part may last so much longer or shorter than its pictures do */
#define BEGAN_TOGETHER_US (1 * US_PER_S)
#define DATE_EVERY 60       /* segments */
#define SOUND_SAMPLE_TICKS 1024 /* of AAC */

/* How a track's segments are cut into parts. */
struct parting {
        unsigned chunks; /* of a part; 0: they are not */
        int64_t target_us;
};

struct playlist {
        struct m3u8 x;
        const struct session *s;
        const struct track *t;
        struct parting parting;
        int64_t first, end; /* whole segments */
        int64_t end_us;     /* of a recording */
};

/* ---- parts -------------------------------------------------------------------------------------------------------- */

static bool is_live(const struct session *s)
{
        return s->state == SESSION_LIVE;
}

static int64_t least_of(int64_t a, int64_t b)
{
        return a < b ? a : b;
}

static unsigned chunks_of_part(const struct session *s, unsigned times)
{
        return times * PART_MS * chunks_of_segment(s->chunk_ms) / 1000;
}

/* What a part of so many times PART_MS lasts at most; 0: there is no such time.
 *
 * A frame is in the chunk in which it begins. So chunks hold the frames of their time, rounded up or down, and all parts have to last 85
 * % of the target at least. Within that, the target leaves room for a frame more, as no camera's clock is ours; where there is none it is
 * the longest part's length, if the shortest one lasts 85 % of that. Parts are chunks that are counted, so there are none where several
 * chunks make the shortest part and some of the grid may be without a frame. */
static int64_t target_us_of(const struct session *s, const struct track *t, unsigned times)
{
        bool sound = t->init.kind == TRACK_AUDIO;
        int64_t rate = sound ? t->init.timescale : t->fps_milli, per = sound ? SOUND_SAMPLE_TICKS : 1000; /* frames a second */
        int64_t off_us = s->long_parts ? PART_OFF_US : 1, part_us = times * PART_MS * US_PER_MS, frame_us = per * US_PER_S / rate;
        if (s->chunk_ms < PART_MS && frame_us > chunk_us(s->chunk_ms))
                return 0;
        int64_t least = part_us * rate / (per * US_PER_S), most = least + (part_us * rate % (per * US_PER_S) != 0);
        int64_t shortest_us = least * per * US_PER_S / rate, longest_us = most * per * US_PER_S / rate + off_us;
        int64_t target_us = least_of(shortest_us * 100 / PART_GOOD_PERCENT, part_us + least_of(frame_us, PART_SPARE_US));
        if (target_us >= longest_us)
                return target_us;
        return s->long_parts && (shortest_us - PART_OFF_US) * 100 >= longest_us * PART_LEAST_PERCENT ? longest_us : 0;
}

/* As short as they can be. Where no rate is known, or is the same for long, frames come at any time: they are told as if PART_USUAL
 * suited (told_part_us()). */
static struct parting parting_of(const struct session *s, const struct track *t)
{
        struct parting c = {0};
        if (t->init.kind != TRACK_VIDEO && t->init.kind != TRACK_AUDIO) /* still pictures */
                return c;
        if (t->init.kind == TRACK_VIDEO && !t->fps_milli)
                return (struct parting){chunks_of_part(s, PART_USUAL), PART_USUAL_US};
        for (unsigned times = 1; times <= (s->long_parts ? PARTS_LONGEST : PART_USUAL) && !c.target_us; times++)
                c = (struct parting){chunks_of_part(s, times), target_us_of(s, t, times)};
        return c.target_us ? c : (struct parting){0};
}

/* Without a picture nobody knows which parts the picture will have that may yet join: as long as for most. */
static int64_t part_hold_back_us(const struct session *s)
{
        int64_t first_us = INT64_MAX, longest_us = 0;
        bool picture = false;
        for (size_t i = 0; i < s->track_count; i++)
                first_us = s->tracks[i]->start_us < first_us ? s->tracks[i]->start_us : first_us;
        for (size_t i = 0; i < s->track_count; i++) {
                const struct track *t = s->tracks[i];
                if (t->start_us - first_us >= BEGAN_TOGETHER_US)
                        continue;
                int64_t target_us = parting_of(s, t).target_us;
                picture |= t->init.kind == TRACK_VIDEO;
                longest_us = target_us > longest_us ? target_us : longest_us;
        }
        return PARTS_BACK * (picture && longest_us ? longest_us : PART_USUAL_US);
}

static struct parting find_parting(const struct session *s, const struct track *t)
{
        struct parting c = is_live(s) ? parting_of(s, t) : (struct parting){0};
        return PARTS_BACK * c.target_us <= part_hold_back_us(s) ? c : (struct parting){0};
}

static size_t read_bytes(void *arg, uint64_t pos, void *dst, size_t max)
{
        memcpy(dst, ((const struct buf *)arg)->data + pos, max);
        return max;
}

/* The segment, if it is in memory: the newest ones are. */
static bool look(const struct track *t, const struct parting *c, int64_t segment, struct parts_of *out)
{
        struct segment_view v;
        if (segment > UINT32_MAX || chunk_log_segment(t->log, (uint32_t)segment, false, &v) != SEGMENT_HERE || !v.bytes)
                return false;
        *out = (struct parts_of){.read = read_bytes, .arg = v.bytes, .len_bytes = v.len_bytes, .complete = v.complete, .chunks = c->chunks};
        return true;
}

static unsigned count_parts(const struct track *t, const struct parting *c, int64_t segment)
{
        struct parts_of p;
        uint64_t from, len;
        unsigned n = 0;
        if (!c->chunks || !look(t, c, segment, &p))
                return 0;
        while (n < PARTS_OF_SEGMENT && parts_find(&p, n, &from, &len) == PART_HERE)
                n++;
        return n;
}

/* From its first frame to the end of its last one, by its own boxes: what comes after it does not change that. 0: they say nothing. */
static int64_t part_us(const struct track *t, const uint8_t *bytes, size_t len)
{
        uint64_t begin = 0, end = 0, chunk_bytes;
        struct chunk_info c;
        size_t head;
        for (size_t at = 0; at < len; at += (size_t)chunk_bytes) {
                if (box_chunk_length(bytes + at, len - at, &head, &chunk_bytes) || chunk_bytes > len - at ||
                    box_chunk_parse_head(bytes + at, head, chunk_bytes, &t->init, &c))
                        return 0;
                begin = at ? begin : c.start_ticks;
                end = c.start_ticks + c.duration_ticks;
        }
        return end > begin ? box_ticks_to_us(end - begin, t->init.timescale) : 0;
}

/* What it is told to last: within the rule. A camera whose clock is not ours, a rung whose frame rate was halved on a machine that is too slow, or
 * a rate that is never the same make a part now and then as long as the rule forbids, and what was told of it would end a viewer's session.
 * He has a part that is up to a picture longer or shorter than that, as segments are (EXTINF). */
static int64_t told_part_us(const struct session *s, const struct parting *c, unsigned n, int64_t us)
{
        unsigned chunks = chunks_of_segment(s->chunk_ms);
        bool may_be_last = (n + 1) * c->chunks >= chunks;
        int64_t least_us = (c->target_us * PART_LEAST_PERCENT + 99) / 100;
        if (us <= 0)
                us = (may_be_last ? chunks - n * c->chunks : c->chunks) * chunk_us(s->chunk_ms);
        us = us < c->target_us ? us : c->target_us;
        return us < least_us && !may_be_last ? least_us : us;
}

/* One behind the newest whole segment. */
static int64_t end_of(const struct session *s, const struct track *t)
{
        const struct index *ix = &t->log->index;
        if (!is_live(s) || !ix->count) {
                struct track_facts f = track_facts(s, t);
                return f.any ? (int64_t)f.last_segment + 1 : 0;
        }
        const struct index_row *last = &ix->rows[ix->count - 1];
        return (int64_t)last->segment + index_complete(ix, last);
}

static int64_t first_of(const struct session *s, const struct track *t)
{
        int64_t whole = (t->start_us + SEGMENT_US - 1) / SEGMENT_US, there = track_first_segment(s, t);
        return whole > there ? whole : there;
}

struct playlist_span playlist_span(const struct session *s, const struct track *t)
{
        struct playlist_span span = {.first = first_of(s, t), .end = end_of(s, t)};
        span.begins = span.first <= (t->start_us + SEGMENT_US - 1) / SEGMENT_US || span.first == t->first_segment;
        return span;
}

/* With what stands in for seconds that the track does not have. */
bool playlist_too_long(const struct session *s, const struct track *t)
{
        struct stand_in in;
        if (is_live(s))
                return false;
        int64_t first = first_of(s, t), end = end_of(s, t);
        if (stand_in_find(s, t, &in)) {
                first = in.begin < first ? in.begin : first;
                end = in.end > end ? in.end : end;
        }
        return end - first > PLAYLIST_LONGEST_S;
}

/* ---- which version ---------------------------------------------------------------------------------------------------- */

enum playlist_state playlist_look(const struct session *s, const struct track *t, const struct key *k)
{
        struct parting parting = find_parting(s, t);
        int64_t end = end_of(s, t), segment = k->segment;
        unsigned part = k->part;
        if (end <= first_of(s, t))
                return is_live(s) ? PLAYLIST_NOT_YET : PLAYLIST_FAR;
        if (!k->waits || !is_live(s))
                return PLAYLIST_READY;
        if (segment >= end + PLAYLIST_AHEAD)
                return PLAYLIST_FAR;
        if (!parting.chunks) /* it is asked for with part 0 */
                return segment < end ? PLAYLIST_READY : PLAYLIST_NOT_YET;
        if (segment == end - 1 && part && part >= count_parts(t, &parting, segment)) { /* the part behind a segment's last one is the next one's first */
                segment++;
                part = 0;
        }
        if (segment < end)
                return PLAYLIST_READY;
        return segment == end && part < count_parts(t, &parting, segment) ? PLAYLIST_READY : PLAYLIST_NOT_YET;
}

/* ---- its lines -------------------------------------------------------------------------------------------------------- */

static void write_head(struct playlist *p, const struct key *k)
{
        struct m3u8 *x = &p->x;
        m3u8_fmt(x, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:1\n#EXT-X-INDEPENDENT-SEGMENTS\n", PLAYLIST_VERSION);
        if (is_live(p->s)) {
                m3u8_fmt(x, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=%d.0,HOLD-BACK=" HOLD_BACK
                            ",PART-HOLD-BACK=", SKIP_UNTIL_S);
                m3u8_seconds(x, part_hold_back_us(p->s));
                m3u8_put(x, "\n");
                if (p->parting.chunks) {
                        m3u8_put(x, "#EXT-X-PART-INF:PART-TARGET=");
                        m3u8_seconds(x, p->parting.target_us);
                        m3u8_put(x, "\n");
                }
        } else {
                m3u8_put(x, "#EXT-X-PLAYLIST-TYPE:VOD\n");
        }
        m3u8_fmt(x, "#EXT-X-MEDIA-SEQUENCE:%" PRId64 "\n", p->first);
        int64_t skipped = p->end - SKIP_UNTIL_S - p->first;
        if (k->skips && is_live(p->s) && skipped > 0) {
                m3u8_fmt(x, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%" PRId64 "\n", skipped);
                p->first += skipped;
        } else {
                m3u8_put(x, "#EXT-X-MAP:URI=\"init.mp4\"\n");
        }
}

static void write_part_name(struct playlist *p, int64_t segment, unsigned n)
{
        char name[PART_NAME_MAX];
        parts_write_name(name, (uint32_t)segment, n, p->parting.chunks);
        m3u8_put(&p->x, name);
}

static void write_parts(struct playlist *p, int64_t segment)
{
        struct parts_of of;
        uint64_t from, len;
        if (!look(p->t, &p->parting, segment, &of))
                return;
        for (unsigned n = 0; n < PARTS_OF_SEGMENT && parts_find(&of, n, &from, &len) == PART_HERE; n++) {
                int64_t us = part_us(p->t, ((const struct buf *)of.arg)->data + from, (size_t)len);
                bool independent = n == 0 || p->t->init.kind == TRACK_AUDIO;
                m3u8_put(&p->x, "#EXT-X-PART:DURATION=");
                m3u8_seconds(&p->x, told_part_us(p->s, &p->parting, n, us));
                m3u8_put(&p->x, ",URI=\"");
                write_part_name(p, segment, n);
                m3u8_put(&p->x, independent ? "\",INDEPENDENT=YES\n" : "\"\n");
        }
}

static void write_date(struct playlist *p, int64_t segment)
{
        char iso[CLOCK_ISO_MAX];
        m3u8_put(&p->x, "#EXT-X-PROGRAM-DATE-TIME:");
        m3u8_put(&p->x, clock_iso(iso, sizeof(iso), p->s->epoch_us + segment * SEGMENT_US));
        m3u8_put(&p->x, "\n");
}

/* A second by the grid; of a recording's last one as long as it is. */
static void write_segment(struct playlist *p, int64_t segment)
{
        bool last = segment == p->end - 1 && !is_live(p->s);
        int64_t left_us = last ? p->end_us - segment * SEGMENT_US : SEGMENT_US;
        if (left_us >= SEGMENT_US || left_us <= 0) {
                m3u8_second(&p->x, segment);
                return;
        }
        m3u8_put(&p->x, "#EXTINF:");
        m3u8_seconds(&p->x, left_us);
        m3u8_fmt(&p->x, ",\n%" PRId64 ".m4s\n", segment);
}

static void write_segments(struct playlist *p)
{
        bool parts = p->parting.chunks;
        struct gaps gaps;
        gaps_begin(&gaps, p->t, (uint32_t)(p->first > p->t->first_segment ? p->first : p->t->first_segment));
        for (int64_t n = p->first; n < p->end; n++) {
                if (n == p->first || n % DATE_EVERY == 0)
                        write_date(p, n);
                if (gaps_have(&gaps, n))
                        m3u8_put(&p->x, "#EXT-X-GAP\n");
                else if (parts && n >= p->end - PARTS_SEGMENTS)
                        write_parts(p, n);
                write_segment(p, n);
        }
        if (!parts)
                return;
        if (p->end % DATE_EVERY == 0 && count_parts(p->t, &p->parting, p->end))
                write_date(p, p->end);
        write_parts(p, p->end);
}

/* The part that comes next: a player asks for it at once, and has it as soon as it is there. Not of a segment whose beginning is not in memory:
 * nobody knows which part comes next. One that has all chunks of the grid has no other, also if nobody knows yet that it is whole: its last
 * sample's length may be a guess that is too short. */
static void write_hint(struct playlist *p)
{
        const struct index *ix = &p->t->log->index;
        bool begun = ix->count && ix->rows[ix->count - 1].segment == p->end;
        struct parts_of of;
        if (!p->parting.chunks || (begun && !look(p->t, &p->parting, p->end, &of)))
                return;
        unsigned next = count_parts(p->t, &p->parting, p->end);
        bool all = next * p->parting.chunks >= chunks_of_segment(p->s->chunk_ms);
        m3u8_put(&p->x, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"");
        write_part_name(p, all ? p->end + 1 : p->end, all ? 0 : next);
        m3u8_put(&p->x, "\"\n");
}

/* How far the others are, so that who changes to one of them asks for its newest version at once. */
static void write_reports(struct playlist *p)
{
        for (size_t i = 0; i < p->s->track_count; i++) {
                const struct track *t = p->s->tracks[i];
                int64_t end = t != p->t && track_playable(p->s, t) && t->log ? end_of(p->s, t) : 0;
                if (end <= 0)
                        continue;
                struct parting parting = find_parting(p->s, t);
                unsigned open = count_parts(t, &parting, end), last = open ? open : count_parts(t, &parting, end - 1);
                m3u8_fmt(&p->x, "#EXT-X-RENDITION-REPORT:URI=\"../%s/" PLAYLIST_FILE "\",LAST-MSN=%" PRId64, t->name, open ? end : end - 1);
                if (last)
                        m3u8_fmt(&p->x, ",LAST-PART=%u", last - 1);
                m3u8_put(&p->x, "\n");
        }
}

/* A recording has a track from the first second of all its kinds to the last. */
static void add_stand_ins(struct playlist *p)
{
        struct stand_in in;
        p->end_us = track_facts(p->s, p->t).end_us;
        if (!stand_in_find(p->s, p->t, &in))
                return;
        if (in.begin < in.first)
                p->first = in.begin;
        if (in.end > in.stop) {
                p->end = in.end;
                p->end_us = in.end_us;
        }
}

struct buf *playlist_write(const struct session *s, const struct track *t, const struct manifest_options *o, const struct key *k)
{
        struct playlist p = {.s = s, .t = t, .parting = find_parting(s, t), .first = first_of(s, t), .end = end_of(s, t)};
        int64_t window = o->time_shift_s > WINDOW_LEAST_S ? o->time_shift_s : WINDOW_LEAST_S;
        if (is_live(s) && p.first < p.end - window)
                p.first = p.end - window;
        add_stand_ins(&p);
        int64_t from_us = p.first * SEGMENT_US; /* a shorter version leaves out segments only */
        write_head(&p, k);
        write_segments(&p);
        cues_write(s->cues, &p.x, s->epoch_us, from_us, session_times_cues(s));
        if (is_live(s)) {
                write_hint(&p);
                write_reports(&p);
        } else {
                m3u8_put(&p.x, "#EXT-X-ENDLIST\n");
        }
        return m3u8_end(&p.x);
}

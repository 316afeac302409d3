/* The DASH manifest (ISO 23009-1, DASH-IF IOP, low-latency CR): dynamic while the session is live, static afterwards.
 *
 * Numbers are absolute: $Number$ n of every track is media time [n, n+1) s, in every Period. So the text changes only when
 * a track joins, the title becomes another, the session ends, or (until it is as old as time_shift_s) viewers can go back further,
 * and @publishTime with it. A recording leaves out seconds that a track does not have because nobody ever wrote them: its Periods
 * follow one another without them. (Live they are named, and are answered with 404.) Where the picture ended
 * long before the sound, or came after it, or the other way round, something stands in for it (stand_in.h), so that no Period lacks a kind.
 *
 * The classic one is for players that know no low latency: its segments are `join` stored seconds each, and whole when they are asked
 * for. The one on demand, of what ended, is for those that know no segments: it names a file of each track for each Period (ondemand.h).
 * What stands in for a kind is not joined in the one: behind the kind's end its segments are single seconds. In the other nothing does, and
 * Periods may have one kind only.
 *
 * Two delays say the same of the same picture, from different beginnings:
 *
 *   captured            available (AST)        shown
 *   |-- latency bound --|--- target latency ---|
 *                       '--- @suggestedPresentationDelay: from availability (23009-1, 5.3.1.2)
 *   '---------- Latency@target: from what ProducerReferenceTime tells, which is the capture (23009-1, K.3.2)
 *
 * dash.js takes the second one and subtracts the bound, which it finds as availabilityStartTime - ProducerReferenceTime
 * (ETSI TS 103 285, 10.20.4): were the bound left out of it, a large bound would make the rest negative. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cue.h"
#include "originD/manifest.h"
#include "originD/ondemand.h"
#include "originD/picture.h"
#include "originD/stand_in.h"
#include "originD/xml.h"

#define HOLES_MAX 64 /* beyond them segments are named that nobody has */
#define PERIODS_MAX (SESSION_TRACKS_MAX + TRACK_KINDS + HOLES_MAX)
#define NEVER INT64_MAX
#define NAMESPACE "urn:mpeg:dash:schema:mpd:2011"
#define PROFILE "urn:mpeg:dash:profile:isoff-live:2011" /* of templates, live or not (23009-1, 8.4) */
#define PROFILE_FILES "urn:mpeg:dash:profile:isoff-on-demand:2011"
#define PROFILE_LOW_LATENCY "http://www.dashif.org/guidelines/low-latency-live-v5"
#define SOUND_SAMPLE_TICKS 1024 /* of AAC */
#define CLOCKS_S 1 /* so far apart a viewer's clock and the broadcast's may be */
#define DEPTH_LEAST_S 2
#define CLASSIC_DELAY 3 /* segments behind the newest one, as in HLS */

struct mpd {
        struct xml x;
        const struct session *s;
        const struct manifest_options *o;
        bool live, entry;
        bool files;          /* each track is one, and not segments */
        int64_t join;        /* stored seconds of a segment */
        int64_t begin;       /* the first second of all tracks */
        int64_t periods[PERIODS_MAX]; /* first segment of each, rising */
        size_t period_count;
        int64_t end_us; /* static: of the presentation, media time */
        int64_t removed_until; /* static: the first segment of those that retention left */
        struct hole {
                uint32_t first, end; /* segments of which a track has none, in any order */
        } holes[HOLES_MAX];
        size_t hole_count;
        int64_t stops[TRACK_KINDS]; /* the second from which on something stands in for the kind; NEVER */
        const struct track *tracks[SESSION_TRACKS_MAX];
        size_t track_count;
        const struct track *pictures; /* NULL: none */
};

static void attr_duration(struct xml *x, const char *name, int64_t us)
{
        char text[48];
        int n = snprintf(text, sizeof(text), "PT%" PRId64, us / US_PER_S);
        if (us % US_PER_S) {
                n += snprintf(text + n, sizeof(text) - (size_t)n, ".%06" PRId64, us % US_PER_S);
                while (text[n - 1] == '0')
                        n--;
        }
        snprintf(text + n, sizeof(text) - (size_t)n, "S");
        xml_attr(x, name, text);
}

static int64_t first_second(const struct mpd *m, const struct track *t)
{
        int64_t first = (t->start_us + SEGMENT_US - 1) / SEGMENT_US;
        return first > m->removed_until ? first : m->removed_until;
}

static int64_t round_up(const struct mpd *m, int64_t second)
{
        return (second + m->join - 1) / m->join * m->join;
}

/* Of joined seconds, the first of such a segment as is whole. The presentation's own beginning may lie within one, which is shorter then; one of
 * which retention took a second is not there (joined.c). */
static int64_t first_whole_segment(const struct mpd *m, const struct track *t)
{
        int64_t first = first_second(m, t);
        bool torn = first == m->removed_until && round_up(m, first) * SEGMENT_US < m->end_us; /* and there is a whole one behind it */
        return first <= m->begin && !torn ? first - first % m->join : round_up(m, first);
}

/* A player of a recording asks for every segment from the beginning on: where old volumes went, that is where all tracks that
 * lost some go on. (A live one goes back timeShiftBufferDepth, and its Periods stay.) */
static void find_begin(struct mpd *m)
{
        for (size_t i = 0; i < m->track_count; i++) {
                const struct track *t = m->tracks[i];
                uint32_t first = track_first_segment(m->s, t);
                if (first > t->first_segment && first > m->removed_until)
                        m->removed_until = first;
        }
}

/* Where the first one of a kind that is told of has no more. */
static void find_stops(struct mpd *m)
{
        struct stand_in in;
        for (size_t kind = 0; kind < TRACK_KINDS; kind++)
                m->stops[kind] = NEVER;
        for (size_t i = 0; i < m->track_count; i++) {
                int64_t *stop = &m->stops[m->tracks[i]->init.kind];
                if (stand_in_find(m->s, m->tracks[i], &in) && in.end > in.stop && in.stop < *stop)
                        *stop = in.stop;
        }
}

static bool is_over(const struct mpd *m, enum track_kind kind, int64_t segment)
{
        return segment >= m->stops[kind];
}

static bool any_is_over(const struct mpd *m, size_t period)
{
        return is_over(m, TRACK_VIDEO, m->periods[period]) || is_over(m, TRACK_AUDIO, m->periods[period]);
}

/* Stored seconds of a segment: of what stands in there are no others than of one. */
static int64_t join_of(const struct mpd *m, size_t period)
{
        return any_is_over(m, period) ? 1 : m->join;
}

/* The first Period that has the track may begin with this segment. Of a kind that came after the others something stands in before. */
static int64_t comes_with(const struct mpd *m, const struct track *t)
{
        struct stand_in in;
        bool all = m->join == 1 && !m->files && stand_in_find(m->s, t, &in) && in.begin < in.first;
        return all ? m->begin : first_whole_segment(m, t);
}

static void add_period(struct mpd *m, int64_t segment)
{
        size_t i = 0;
        while (i < m->period_count && m->periods[i] < segment)
                i++;
        if (i < m->period_count && m->periods[i] == segment)
                return;
        memmove(&m->periods[i + 1], &m->periods[i], (m->period_count - i) * sizeof(m->periods[0]));
        m->periods[i] = segment;
        m->period_count++;
}

/* The last sample's duration is a guess and may reach into a segment that does not exist: a player would ask for it. */
static int64_t track_end_us(const struct track_facts *f)
{
        int64_t stored_us = ((int64_t)f->last_segment + 1) * SEGMENT_US;
        return f->end_us < stored_us ? f->end_us : stored_us;
}

/* A player asks for every segment that begins before the end: all tracks must have it, so the shortest one decides, of those
 * for which nothing stands in. */
static void find_end(struct mpd *m)
{
        int64_t shortest_us = INT64_MAX;
        for (size_t i = 0; i < m->track_count; i++) {
                struct track_facts f = track_facts(m->s, m->tracks[i]);
                int64_t end_us = track_end_us(&f);
                if (m->stops[m->tracks[i]->init.kind] == NEVER && end_us < shortest_us)
                        shortest_us = end_us;
        }
        m->end_us = m->track_count ? shortest_us : 0;
}

static void remove_period(struct mpd *m, size_t i)
{
        m->period_count--;
        memmove(&m->periods[i], &m->periods[i + 1], (m->period_count - i) * sizeof(m->periods[0]));
}

/* A player of a recording asks for every segment of a Period. So a second that a track does not have, for no writer brought it, is
 * in none: a Period ends before it, and the next one goes on behind it. */
static void leave_out_holes(struct mpd *m)
{
        for (size_t i = 0; i < m->track_count; i++) {
                struct hole h = {.end = (uint32_t)first_whole_segment(m, m->tracks[i])};
                while (m->hole_count < HOLES_MAX && track_hole(m->tracks[i], h.end, &h.first, &h.end)) {
                        add_period(m, round_up(m, h.end));
                        m->holes[m->hole_count++] = h;
                }
        }
        for (size_t i = 0; i < m->hole_count; i++)
                for (size_t k = m->period_count; k--;)
                        if (m->periods[k] >= m->holes[i].first && m->periods[k] < m->holes[i].end)
                                remove_period(m, k);
}

/* Where the Period ends, in media time. */
static int64_t period_end_us(const struct mpd *m, size_t i)
{
        int64_t end_us = i + 1 < m->period_count ? m->periods[i + 1] * SEGMENT_US : m->end_us;
        for (size_t k = 0; k < m->hole_count; k++) {
                int64_t hole_us = m->holes[k].first * SEGMENT_US;
                if (m->holes[k].first > m->periods[i] && hole_us < end_us)
                        end_us = hole_us;
        }
        return end_us;
}

/* Where the Period begins in the presentation, live: in media time. A recording begins with its first one, and has no holes. */
static int64_t period_start_us(const struct mpd *m, size_t i)
{
        int64_t us = 0;
        if (m->live)
                return m->periods[i] * SEGMENT_US;
        for (size_t k = 0; k < i; k++)
                us += period_end_us(m, k) - m->periods[k] * SEGMENT_US;
        return us;
}

static void find_tracks(struct mpd *m)
{
        m->track_count = manifest_tracks(m->s, m->tracks);
        m->pictures = picture_track(m->s);
        find_stops(m);
        if (!m->live) {
                find_end(m);
                find_begin(m);
        }
        for (size_t i = 0; i < m->track_count; i++) {
                int64_t first = first_second(m, m->tracks[i]);
                m->begin = i == 0 || first < m->begin ? first : m->begin;
        }
        for (size_t i = 0; i < m->track_count; i++)
                add_period(m, first_whole_segment(m, m->tracks[i]));
        for (size_t kind = 0; kind < TRACK_KINDS && (m->join > 1 || m->files); kind++)
                if (m->stops[kind] > m->begin && m->stops[kind] != NEVER)
                        add_period(m, m->stops[kind]);
        if (!m->live)
                leave_out_holes(m);
        while (!m->live && m->period_count > 1 && m->periods[m->period_count - 1] * SEGMENT_US >= m->end_us)
                m->period_count--; /* began with the very end: nothing of it can be played */
}

/* How far back a viewer can go: never further than the broadcast has come, as the viewer's clock may tell it. FFmpeg's reader (so
 * ffplay and mpv) subtracts this from the broadcast's age in numbers without a sign: longer than that, it asks for the current second
 * time and again. It keeps what it read first, and leaves out seconds when it is further behind than that: so the steps are small at
 * first, and larger later, so that the text does not change with each second. The least is what it can be without harm: a reader's
 * second segment is due two seconds after the beginning. */
static int64_t depth_s(const struct mpd *m)
{
        int64_t end_us = 0;
        for (size_t i = 0; i < m->track_count; i++) {
                struct track_facts f = track_facts(m->s, m->tracks[i]);
                end_us = f.end_us > end_us ? f.end_us : end_us;
        }
        int64_t age_s = (end_us - m->o->latency_bound_ms * US_PER_MS) / US_PER_S - CLOCKS_S;
        int64_t step_s = age_s < 10 ? 1 : age_s < 60 ? 2 : 10, depth_s = age_s / step_s * step_s;
        depth_s = depth_s > DEPTH_LEAST_S ? depth_s : DEPTH_LEAST_S;
        bool all = age_s >= m->o->time_shift_s; /* though it is no number of steps: depth_since_us() takes it for this old */
        return all || depth_s > m->o->time_shift_s ? m->o->time_shift_s : depth_s;
}

/* Media time since which depth_s() has been what it is. */
static int64_t depth_since_us(const struct mpd *m)
{
        int64_t depth = depth_s(m);
        return depth > DEPTH_LEAST_S ? (depth + CLOCKS_S) * US_PER_S + m->o->latency_bound_ms * US_PER_MS : 0;
}

/* When the text became what it is: a player tells by it whether the manifest changed. It is made of what the text depends on
 * and of nothing else, so it is the same at every origin and after a restart: where the newest track begins or the depth became
 * longer, a millisecond for every track (those that begin together need not become playable together), for captions and for still pictures, and
 * microseconds that the title decides. */
static void attr_publish_time(const struct mpd *m, struct xml *x)
{
        char iso[CLOCK_ISO_MAX];
        int64_t newest_us = depth_since_us(m);
        for (size_t i = 0; i < m->track_count; i++)
                newest_us = m->tracks[i]->start_us > newest_us ? m->tracks[i]->start_us : newest_us;
        clock_iso(iso, sizeof(iso), m->s->epoch_us + newest_us + ((int64_t)m->track_count + m->s->captions + (m->pictures != NULL)) * US_PER_MS);
        iso[strlen(iso) - 1] = '\0'; /* the Z comes behind more digits */
        unsigned title = (unsigned)(XXH3_64bits(m->s->title, strlen(m->s->title)) % 1000);
        xml_attr_fmt(x, "publishTime", "%s%03uZ", iso, title);
}

static bool is_low_latency(const struct mpd *m)
{
        return m->live && m->join == 1;
}

static int64_t delay_us(const struct mpd *m)
{
        return is_low_latency(m) ? m->o->target_latency_ms * US_PER_MS : CLASSIC_DELAY * m->join * SEGMENT_US;
}

static void write_head(struct mpd *m)
{
        struct xml *x = &m->x;
        char iso[CLOCK_ISO_MAX];
        const struct manifest_options *o = m->o;
        xml_open(x, "MPD");
        xml_attr(x, "xmlns", NAMESPACE);
        xml_attr(x, "id", m->s->id);
        xml_attr(x, "profiles", m->files ? PROFILE_FILES : is_low_latency(m) ? PROFILE "," PROFILE_LOW_LATENCY : PROFILE);
        xml_attr(x, "type", m->live ? "dynamic" : "static");
        if (m->live) {
                int64_t start = m->s->epoch_us + o->latency_bound_ms * US_PER_MS;
                xml_attr(x, "availabilityStartTime", clock_iso(iso, sizeof(iso), start));
                attr_publish_time(m, x);
                attr_duration(x, "minimumUpdatePeriod", o->update_s * US_PER_S);
                attr_duration(x, "timeShiftBufferDepth", depth_s(m) * US_PER_S);
                attr_duration(x, "suggestedPresentationDelay", delay_us(m));
        } else {
                attr_duration(x, "mediaPresentationDuration", period_start_us(m, m->period_count));
        }
        attr_duration(x, "maxSegmentDuration", m->join * SEGMENT_US);
        attr_duration(x, "minBufferTime", m->join * SEGMENT_US);
}

static void write_title(struct mpd *m)
{
        if (!m->s->title[0])
                return;
        xml_open(&m->x, "ProgramInformation");
        xml_open(&m->x, "Title");
        xml_text(&m->x, m->s->title);
        xml_close(&m->x);
        xml_close(&m->x);
}

/* The one place that is known here is wherever the text was loaded from: edges tell players of others, by cloning this one with another host
 * (ETSI TS 103 998). dash.js takes a relative address for one beside the page, so it is told a whole one where one is configured. */
static void write_steering(struct mpd *m)
{
        struct xml *x = &m->x;
        xml_open(x, "BaseURL");
        xml_attr(x, "serviceLocation", "here");
        xml_text(x, "./");
        xml_close(x);
        xml_open(x, "ContentSteering");
        xml_attr(x, "defaultServiceLocation", "here");
        xml_text(x, m->o->public_url);
        xml_text(x, "/steering");
        xml_close(x);
}

static bool is_in(const struct mpd *m, const struct track *t, size_t period)
{
        bool over = m->files && is_over(m, t->init.kind, m->periods[period]); /* of a file nothing stands in */
        return !over && comes_with(m, t) <= m->periods[period];
}

static bool has_set(const struct mpd *m, enum track_kind kind, size_t period)
{
        for (size_t i = 0; i < m->track_count; i++)
                if (m->tracks[i]->init.kind == kind && is_in(m, m->tracks[i], period))
                        return true;
        return false;
}

/* Of the set's ProducerReferenceTime: unique in the whole text (DASH-IF low latency, 9.X.4.3); not 0, which dash.js takes for none. */
static int64_t reference_id(size_t period, enum track_kind kind)
{
        return 1 + (int64_t)(period * TRACK_KINDS) + (int64_t)kind;
}

/* dash.js throws who is behind @max back to the live edge, and without @max who is 12 s behind: everywhere in the window one may be. */
static void write_service(struct mpd *m)
{
        struct xml *x = &m->x;
        int64_t bound = m->o->latency_bound_ms, target = m->o->target_latency_ms, window = m->o->time_shift_s * 1000;
        xml_open(x, "ServiceDescription");
        xml_attr(x, "id", "0");
        xml_open(x, "Latency");
        xml_attr_int(x, "target", bound + target);
        xml_attr_int(x, "min", bound + target / 2);
        xml_attr_int(x, "max", bound + (window > target ? window : target));
        xml_attr_int(x, "referenceId", reference_id(0, has_set(m, TRACK_VIDEO, 0) ? TRACK_VIDEO : TRACK_AUDIO));
        xml_close(x);
        xml_open(x, "PlaybackRate");
        xml_attr(x, "min", "0.96");
        xml_attr(x, "max", "1.04");
        xml_close(x);
        xml_close(x);
}

static void write_clock(struct xml *x, const char *at)
{
        xml_open(x, "UTCTiming");
        xml_attr(x, "schemeIdUri", "urn:mpeg:dash:utc:http-xsdate:2014");
        xml_attr_fmt(x, "value", "%s/time", at);
        xml_close(x);
}

/* In the order in which players try them. GStreamer looks at one, and asks only where a whole address says. */
static void write_clocks(const struct mpd *m, struct xml *x)
{
        if (m->o->public_url[0])
                write_clock(x, m->o->public_url);
        write_clock(x, "");
}

static void write_producer_time(struct mpd *m, size_t period, enum track_kind kind)
{
        char iso[CLOCK_ISO_MAX];
        struct xml *x = &m->x;
        xml_open(x, "ProducerReferenceTime");
        xml_attr_int(x, "id", reference_id(period, kind));
        xml_attr(x, "inband", "true"); /* each segment begins with a prft box that says the same */
        xml_attr(x, "type", "captured");
        xml_attr(x, "wallClockTime", clock_iso(iso, sizeof(iso), m->s->epoch_us));
        xml_attr(x, "presentationTime", "0");
        write_clock(x, m->o->public_url);
        xml_close(x);
}

/* A segment can be asked for as soon as its first chunk is there. Shaka has low latency only where every representation has such an
 * offset, those of still pictures too. */
static void attr_available_early(struct mpd *m, int64_t segment_s)
{
        if (is_low_latency(m))
                xml_attr_fmt(&m->x, "availabilityTimeOffset", "%g", (double)segment_s - (double)chunk_us(m->s->chunk_ms) / SEGMENT_US);
}

static void write_template(struct mpd *m, const struct track *t, size_t period)
{
        struct xml *x = &m->x;
        int64_t first_segment = m->periods[period], join = join_of(m, period);
        const char *folder = m->entry ? m->s->id : "", *slash = m->entry ? "/" : "";
        xml_open(x, "SegmentTemplate");
        xml_attr_int(x, "timescale", t->init.timescale);
        xml_attr_int(x, "duration", join * t->init.timescale);
        xml_attr_int(x, "startNumber", first_segment / join);
        if (first_segment)
                xml_attr_int(x, "presentationTimeOffset", first_segment * t->init.timescale);
        attr_available_early(m, join);
        if (is_low_latency(m))
                xml_attr(x, "availabilityTimeComplete", "false");
        xml_attr_fmt(x, "initialization", "%s%s$RepresentationID$/init.mp4", folder, slash);
        if (join == 1)
                xml_attr_fmt(x, "media", "%s%s$RepresentationID$/$Number$.m4s", folder, slash);
        else
                xml_attr_fmt(x, "media", "%s%s$RepresentationID$/$Number$x%" PRId64 ".m4s", folder, slash, join);
        xml_close(x);
}

/* The Period's seconds of the track as a file: where its index lies, which nobody has to read for that. */
static void write_file(struct mpd *m, const struct track *t, size_t period)
{
        struct xml *x = &m->x;
        char name[64];
        uint32_t first, end, until = (uint32_t)((period_end_us(m, period) + SEGMENT_US - 1) / SEGMENT_US);
        uint64_t index = t->init_bytes->len;
        snprintf(name, sizeof(name), "/ondemand.%" PRId64 "-%" PRIu32 ".mp4", m->periods[period], until);
        if (!ondemand_span(m->s, t, (uint32_t)m->periods[period], until, &first, &end))
                return;
        xml_open(x, "BaseURL");
        if (m->entry) {
                xml_text(x, m->s->id);
                xml_text(x, "/");
        }
        xml_text(x, t->name);
        xml_text(x, name);
        xml_close(x);
        xml_open(x, "SegmentBase");
        xml_attr_int(x, "timescale", t->init.timescale);
        if (m->periods[period])
                xml_attr_int(x, "presentationTimeOffset", m->periods[period] * t->init.timescale);
        xml_attr_fmt(x, "indexRange", "%" PRIu64 "-%" PRIu64, index, index + ondemand_index_bytes(first, end) - 1);
        xml_open(x, "Initialization");
        xml_attr_fmt(x, "range", "0-%" PRIu64, index - 1);
        xml_close(x);
        xml_close(x);
}

/* 29970 (the nearest to 30000/1001 in thousandths) and its kin as the fraction that they are. */
static void attr_frame_rate(struct xml *x, uint32_t fps_milli)
{
        uint32_t whole = (fps_milli + 500) / 1000;
        if (!fps_milli)
                return;
        if (fps_milli + 2 >= whole * 1000 && fps_milli <= whole * 1000 + 2)
                xml_attr_int(x, "frameRate", whole);
        else if (fps_milli + 2 >= whole * 1000000 / 1001 && fps_milli <= whole * 1000000 / 1001 + 2)
                xml_attr_fmt(x, "frameRate", "%" PRIu32 "000/1001", whole);
        else
                xml_attr_fmt(x, "frameRate", "%" PRIu32 "/1000", fps_milli);
}

/* Points at which a decoder (or, type 0, a reader of boxes) can begin, at most every_us and a sample apart. */
static void write_resync(struct xml *x, const struct track *t, int64_t slowest_us, int64_t every_us, bool decodes, bool marker)
{
        int64_t timescale = t->init.timescale, sample = t->init.kind == TRACK_AUDIO ? SOUND_SAMPLE_TICKS
                            : t->fps_milli ? timescale * 1000 / t->fps_milli + 1 : timescale * slowest_us / US_PER_S;
        xml_open(x, "Resync");
        xml_attr_int(x, "type", decodes); /* the type of SAP: 1, or none */
        xml_attr_int(x, "dT", timescale * every_us / US_PER_S + sample);
        if (marker)
                xml_attr(x, "marker", "true");
        xml_close(x);
}

/* Where in the segments one can begin (DASH-IF low latency, 9.X.4.5): each begins with styp, prft and a key frame. Of its chunks, which
 * have no styp of their own, those of sound can be decoded from their beginning too. */
static void write_resyncs(struct xml *x, const struct session *s, const struct track *t)
{
        int64_t grid_us = chunk_us(s->chunk_ms);
        write_resync(x, t, grid_us, SEGMENT_US, true, true);
        write_resync(x, t, grid_us, grid_us, t->init.kind == TRACK_AUDIO, false);
}

static void write_representation(struct mpd *m, const struct track *t, size_t period)
{
        struct xml *x = &m->x;
        struct track_facts f = track_facts(m->s, t);
        uint32_t fps_milli = t->fps_milli || m->live ? t->fps_milli : f.fps_milli;
        xml_open(x, "Representation");
        xml_attr(x, "id", t->name);
        xml_attr(x, "codecs", t->init.codec);
        xml_attr_int(x, "bandwidth", manifest_bandwidth(m->s, t));
        if (t->init.kind == TRACK_VIDEO) {
                xml_attr_int(x, "width", t->init.width);
                xml_attr_int(x, "height", t->init.height);
                xml_attr(x, "sar", "1:1");
                attr_frame_rate(x, fps_milli);
        } else {
                xml_attr_int(x, "audioSamplingRate", t->init.sample_rate);
                xml_open(x, "AudioChannelConfiguration");
                xml_attr(x, "schemeIdUri", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011");
                xml_attr_int(x, "value", t->init.channels);
                xml_close(x);
        }
        if (is_low_latency(m))
                write_resyncs(x, m->s, t);
        if (m->files)
                write_file(m, t, period);
        else
                write_template(m, t, period);
        xml_close(x);
}

/* Always, though nobody may ever say anything: a player that loaded the text before it was said would not look. */
static void write_cue_schemes(struct xml *x)
{
        for (int kind = 0; kind < CUE_KINDS; kind++) {
                xml_open(x, "InbandEventStream");
                xml_attr(x, "schemeIdUri", cue_scheme((enum cue_kind)kind));
                xml_attr(x, "value", CUE_VALUE);
                xml_close(x);
        }
}

/* In the pictures themselves. Which language is not known; a player needs a value to make a track of it. */
static void write_captions(struct xml *x)
{
        xml_open(x, "Accessibility");
        xml_attr(x, "schemeIdUri", "urn:scte:dash:cc:cea-608:2015");
        xml_attr(x, "value", "CC1=und");
        xml_close(x);
}

static void write_set(struct mpd *m, enum track_kind kind, size_t period)
{
        struct xml *x = &m->x;
        int64_t first_segment = m->periods[period];
        bool open = false;
        for (size_t i = 0; i < m->track_count; i++) {
                const struct track *t = m->tracks[i];
                if (t->init.kind != kind || !is_in(m, t, period))
                        continue;
                if (!open) {
                        xml_open(x, "AdaptationSet");
                        xml_attr_int(x, "id", kind);
                        xml_attr(x, "contentType", kind == TRACK_VIDEO ? "video" : "audio");
                        xml_attr(x, "mimeType", kind == TRACK_VIDEO ? INIT_TYPE_PICTURE : INIT_TYPE_SOUND);
                        xml_attr(x, m->files ? "subsegmentAlignment" : "segmentAlignment", "true");
                        xml_attr(x, m->files ? "subsegmentStartsWithSAP" : "startWithSAP", "1");
                        bool goes_on = period && (m->live || period_end_us(m, period - 1) == first_segment * SEGMENT_US);
                        if (goes_on && has_set(m, kind, period - 1)) { /* it names a set of that Period (23009-1, 5.3.2.4) */
                                xml_open(x, "SupplementalProperty");
                                xml_attr(x, "schemeIdUri", "urn:mpeg:dash:period-continuity:2015");
                                xml_attr_fmt(x, "value", "p%" PRId64, m->periods[period - 1]);
                                xml_close(x);
                        }
                        if (kind == TRACK_VIDEO || !has_set(m, TRACK_VIDEO, period))
                                write_cue_schemes(x);
                        if (is_low_latency(m))
                                write_producer_time(m, period, kind);
                        if (kind == TRACK_VIDEO && m->s->captions)
                                write_captions(x);
                        open = true;
                }
                write_representation(m, t, period);
        }
        if (open)
                xml_close(x);
}

/* Still pictures, each a file of its own: tiles of one (DASH-IF IOP 6.2.6). Segment 0 of a Period is to begin with it, so one that begins
 * between two pictures names them by the second. */
static void write_pictures(struct mpd *m, size_t period)
{
        struct xml *x = &m->x;
        const char *folder = m->entry ? m->s->id : "", *slash = m->entry ? "/" : "";
        int64_t begin = m->periods[period], every_s = picture_every_s(m->pictures);
        every_s = begin % every_s ? 1 : every_s;
        xml_open(x, "AdaptationSet");
        xml_attr_int(x, "id", TRACK_PICTURES);
        xml_attr(x, "contentType", "image");
        xml_attr(x, "mimeType", PICTURE_TYPE);
        xml_open(x, "SegmentTemplate");
        xml_attr_int(x, "duration", every_s);
        xml_attr_int(x, "startNumber", begin / every_s);
        if (begin)
                xml_attr_int(x, "presentationTimeOffset", begin);
        attr_available_early(m, every_s);
        xml_attr_fmt(x, "media", "%s%s" PICTURES_TRACK "/$Number$x%" PRId64 ".jpg", folder, slash, every_s);
        xml_close(x);
        xml_open(x, "Representation");
        xml_attr(x, "id", PICTURES_TRACK);
        xml_attr_int(x, "bandwidth", manifest_bandwidth(m->s, m->pictures) / every_s);
        xml_attr_int(x, "width", m->pictures->init.width);
        xml_attr_int(x, "height", m->pictures->init.height);
        xml_open(x, "EssentialProperty");
        xml_attr(x, "schemeIdUri", "http://dashif.org/guidelines/thumbnail_tile");
        xml_attr(x, "value", "1x1");
        xml_close(x);
        xml_close(x);
        xml_close(x);
}

static void write_period(struct mpd *m, size_t i)
{
        struct xml *x = &m->x;
        xml_open(x, "Period");
        xml_attr_fmt(x, "id", "p%" PRId64, m->periods[i]);
        attr_duration(x, "start", period_start_us(m, i));
        if (!m->live)
                attr_duration(x, "duration", period_end_us(m, i) - m->periods[i] * SEGMENT_US);
        write_set(m, TRACK_VIDEO, i);
        write_set(m, TRACK_AUDIO, i);
        if (m->pictures && has_set(m, TRACK_VIDEO, i) && !m->files) /* which have a file each */
                write_pictures(m, i);
        xml_close(x);
}

static struct buf *write_text(const struct session *s, const struct manifest_options *o, bool entry, int64_t join, bool files)
{
        struct mpd m = {.s = s, .o = o, .join = join, .files = files, .live = s->state == SESSION_LIVE, .entry = entry};
        xml_begin(&m.x);
        find_tracks(&m);
        write_head(&m);
        write_title(&m);
        if (o->steering)
                write_steering(&m);
        if (is_low_latency(&m))
                write_service(&m);
        for (size_t i = 0; i < m.period_count; i++)
                write_period(&m, i);
        if (m.live)
                write_clocks(&m, &m.x);
        xml_close(&m.x);
        return xml_end(&m.x);
}

static struct buf *write_mpd(const struct session *s, const struct manifest_options *o, bool entry)
{
        return write_text(s, o, entry, 1, false);
}

static struct buf *write_classic(const struct session *s, const struct manifest_options *o, bool entry)
{
        return write_text(s, o, entry, o->classic_s, false);
}

static struct buf *write_ondemand(const struct session *s, const struct manifest_options *o, bool entry)
{
        return write_text(s, o, entry, 1, true);
}

const struct manifest_format manifest_mpd = {
        .file = "manifest.mpd", .content_type = "application/dash+xml", .write = write_mpd};
const struct manifest_format manifest_classic_mpd = {
        .file = "classic.mpd", .content_type = "application/dash+xml", .write = write_classic};
const struct manifest_format manifest_ondemand = {
        .file = "ondemand.mpd", .content_type = "application/dash+xml", .write = write_ondemand, .of_ended = true};

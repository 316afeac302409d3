/* The DASH manifest (ISO 23009-1, DASH-IF IOP, low-latency CR): dynamic while the session is live, static afterwards.
 *
 * Numbers are absolute: $Number$ n of every track is media time [n, n+1) s, in every Period. So the text changes only when
 * a Period begins or the session ends. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "originD/manifest.h"
#include "originD/xml.h"

#define PERIODS_MAX SESSION_TRACKS_MAX
#define TRACK_SHORTER_US (10 * US_PER_S) /* a track that ended this much before the others is left out of a recording */
#define NAMESPACE "urn:mpeg:dash:schema:mpd:2011"
#define PROFILES "urn:mpeg:dash:profile:isoff-live:2011,http://www.dashif.org/guidelines/low-latency-live-v5"

struct mpd {
        struct xml x;
        const struct session *s;
        const struct manifest_options *o;
        bool live, entry;
        int64_t periods[PERIODS_MAX]; /* first segment of each, rising */
        size_t period_count;
        int64_t end_us; /* static: of the presentation, media time */
        const struct track *tracks[SESSION_TRACKS_MAX];
        size_t track_count;
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

static int64_t first_whole_segment(const struct track *t)
{
        return (t->start_us + SEGMENT_US - 1) / SEGMENT_US;
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

/* A player asks for every segment that begins before the end: all tracks must have it, so the shortest one decides. */
static void find_end(struct mpd *m)
{
        int64_t longest = 0;
        for (size_t i = 0; i < m->track_count; i++) {
                struct track_facts f = track_facts(m->s, m->tracks[i]);
                longest = f.end_us > longest ? f.end_us : longest;
        }
        m->end_us = longest;
        size_t kept = 0;
        for (size_t i = 0; i < m->track_count; i++) {
                struct track_facts f = track_facts(m->s, m->tracks[i]);
                if (f.end_us < longest - TRACK_SHORTER_US)
                        continue;
                int64_t end_us = track_end_us(&f);
                m->end_us = end_us < m->end_us ? end_us : m->end_us;
                m->tracks[kept++] = m->tracks[i];
        }
        m->track_count = kept;
}

static void find_tracks(struct mpd *m)
{
        for (size_t i = 0; i < m->s->track_count; i++)
                if (track_playable(m->s, m->s->tracks[i]))
                        m->tracks[m->track_count++] = m->s->tracks[i];
        if (!m->live)
                find_end(m);
        for (size_t i = 0; i < m->track_count; i++)
                add_period(m, first_whole_segment(m->tracks[i]));
        while (!m->live && m->period_count > 1 && m->periods[m->period_count - 1] * SEGMENT_US >= m->end_us)
                m->period_count--; /* began with the very end: nothing of it can be played */
}

/* Where the presentation begins, in media time: a recording at its first segment, a live one at the epoch. */
static int64_t origin_us(const struct mpd *m)
{
        return m->live ? 0 : m->periods[0] * SEGMENT_US;
}

static void write_head(struct mpd *m)
{
        struct xml *x = &m->x;
        char iso[CLOCK_ISO_MAX];
        const struct manifest_options *o = m->o;
        xml_open(x, "MPD");
        xml_attr(x, "xmlns", NAMESPACE);
        xml_attr(x, "id", m->s->id);
        xml_attr(x, "profiles", PROFILES);
        xml_attr(x, "type", m->live ? "dynamic" : "static");
        if (m->live) {
                int64_t start = m->s->epoch_us + o->latency_bound_ms * US_PER_MS;
                xml_attr(x, "availabilityStartTime", clock_iso(iso, sizeof(iso), start));
                xml_attr(x, "publishTime", clock_iso(iso, sizeof(iso), start + m->periods[m->period_count - 1] * SEGMENT_US));
                attr_duration(x, "minimumUpdatePeriod", o->update_s * US_PER_S);
                attr_duration(x, "timeShiftBufferDepth", o->time_shift_s * US_PER_S);
                attr_duration(x, "suggestedPresentationDelay", o->target_latency_ms * US_PER_MS);
        } else {
                attr_duration(x, "mediaPresentationDuration", m->end_us - origin_us(m));
        }
        attr_duration(x, "maxSegmentDuration", SEGMENT_US);
        attr_duration(x, "minBufferTime", SEGMENT_US);
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

static void write_service(struct mpd *m)
{
        struct xml *x = &m->x;
        int64_t target = m->o->target_latency_ms;
        xml_open(x, "ServiceDescription");
        xml_attr(x, "id", "0");
        xml_open(x, "Latency");
        xml_attr_int(x, "target", target);
        xml_attr_int(x, "min", target / 2);
        xml_attr_int(x, "max", target * 4);
        xml_attr(x, "referenceId", "0");
        xml_close(x);
        xml_open(x, "PlaybackRate");
        xml_attr(x, "min", "0.96");
        xml_attr(x, "max", "1.04");
        xml_close(x);
        xml_close(x);
}

static void write_clock(struct xml *x)
{
        xml_open(x, "UTCTiming");
        xml_attr(x, "schemeIdUri", "urn:mpeg:dash:utc:http-xsdate:2014");
        xml_attr(x, "value", "/time");
        xml_close(x);
}

static void write_producer_time(struct mpd *m)
{
        char iso[CLOCK_ISO_MAX];
        struct xml *x = &m->x;
        xml_open(x, "ProducerReferenceTime");
        xml_attr(x, "id", "0");
        xml_attr(x, "inband", "false");
        xml_attr(x, "type", "captured");
        xml_attr(x, "wallClockTime", clock_iso(iso, sizeof(iso), m->s->epoch_us));
        xml_attr(x, "presentationTime", "0");
        write_clock(x);
        xml_close(x);
}

static void write_template(struct mpd *m, const struct track *t, int64_t first_segment)
{
        struct xml *x = &m->x;
        const char *folder = m->entry ? m->s->id : "", *slash = m->entry ? "/" : "";
        xml_open(x, "SegmentTemplate");
        xml_attr_int(x, "timescale", t->init.timescale);
        xml_attr_int(x, "duration", t->init.timescale);
        xml_attr_int(x, "startNumber", first_segment);
        if (first_segment)
                xml_attr_int(x, "presentationTimeOffset", first_segment * t->init.timescale);
        if (m->live) {
                xml_attr_fmt(x, "availabilityTimeOffset", "%g", 1.0 - (double)CHUNK_US / SEGMENT_US);
                xml_attr(x, "availabilityTimeComplete", "false");
        }
        xml_attr_fmt(x, "initialization", "%s%s$RepresentationID$/init.mp4", folder, slash);
        xml_attr_fmt(x, "media", "%s%s$RepresentationID$/$Number$.m4s", folder, slash);
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

static void write_representation(struct mpd *m, const struct track *t, int64_t first_segment)
{
        struct xml *x = &m->x;
        struct track_facts f = track_facts(m->s, t);
        uint32_t measured = m->live ? f.average_bps : f.peak_bps;
        uint32_t bandwidth = m->live && t->bandwidth ? t->bandwidth : measured;
        xml_open(x, "Representation");
        xml_attr(x, "id", t->name);
        xml_attr(x, "codecs", t->init.codec);
        xml_attr_int(x, "bandwidth", bandwidth ? bandwidth : 1);
        if (t->init.kind == TRACK_VIDEO) {
                xml_attr_int(x, "width", t->init.width);
                xml_attr_int(x, "height", t->init.height);
                xml_attr(x, "sar", "1:1");
                attr_frame_rate(x, t->fps_milli ? t->fps_milli : f.fps_milli);
        } else {
                xml_attr_int(x, "audioSamplingRate", t->init.sample_rate);
                xml_open(x, "AudioChannelConfiguration");
                xml_attr(x, "schemeIdUri", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011");
                xml_attr_int(x, "value", t->init.channels);
                xml_close(x);
        }
        if (m->live)
                write_producer_time(m);
        write_template(m, t, first_segment);
        xml_close(x);
}

static void write_set(struct mpd *m, enum track_kind kind, size_t period)
{
        struct xml *x = &m->x;
        int64_t first_segment = m->periods[period];
        bool open = false;
        for (size_t i = 0; i < m->track_count; i++) {
                const struct track *t = m->tracks[i];
                if (t->init.kind != kind || first_whole_segment(t) > first_segment)
                        continue;
                if (!open) {
                        xml_open(x, "AdaptationSet");
                        xml_attr_int(x, "id", kind);
                        xml_attr(x, "contentType", kind == TRACK_VIDEO ? "video" : "audio");
                        xml_attr(x, "mimeType", kind == TRACK_VIDEO ? "video/mp4" : "audio/mp4");
                        xml_attr(x, "segmentAlignment", "true");
                        xml_attr(x, "startWithSAP", "1");
                        if (period) {
                                xml_open(x, "SupplementalProperty");
                                xml_attr(x, "schemeIdUri", "urn:mpeg:dash:period-continuity:2015");
                                xml_attr_fmt(x, "value", "p%" PRId64, m->periods[period - 1]);
                                xml_close(x);
                        }
                        open = true;
                }
                write_representation(m, t, first_segment);
        }
        if (open)
                xml_close(x);
}

static void write_period(struct mpd *m, size_t i)
{
        struct xml *x = &m->x;
        int64_t start = m->periods[i] * SEGMENT_US - origin_us(m);
        xml_open(x, "Period");
        xml_attr_fmt(x, "id", "p%" PRId64, m->periods[i]);
        attr_duration(x, "start", start);
        if (!m->live) {
                int64_t end = i + 1 < m->period_count ? m->periods[i + 1] * SEGMENT_US : m->end_us;
                attr_duration(x, "duration", end - origin_us(m) - start);
        }
        write_set(m, TRACK_VIDEO, i);
        write_set(m, TRACK_AUDIO, i);
        xml_close(x);
}

static struct buf *write_mpd(const struct session *s, const struct manifest_options *o, bool entry)
{
        struct mpd m = {.s = s, .o = o, .live = s->state == SESSION_LIVE, .entry = entry};
        xml_begin(&m.x);
        find_tracks(&m);
        write_head(&m);
        write_title(&m);
        if (m.live)
                write_service(&m);
        for (size_t i = 0; i < m.period_count; i++)
                write_period(&m, i);
        if (m.live)
                write_clock(&m.x);
        xml_close(&m.x);
        return xml_end(&m.x);
}

const struct manifest_format manifest_mpd = {
        .file = "manifest.mpd", .content_type = "application/dash+xml", .write = write_mpd};

/* The HLS multivariant playlist (RFC 8216bis, 4.4.6): which tracks there are. What each has is told by playlist.c.
 *
 * Each rung of the picture is a variant with the sound that suits it: the best one that is no more than an eighth of its rate, so that
 * who can afford 600 kbit/s is not sent the sound of those who can afford 5 Mbit/s. Sounds are groups of one rendition each. A broadcast
 * without a picture has a variant for each sound. */
#include <inttypes.h>

#include "originD/classic.h"
#include "originD/m3u8.h"
#include "originD/manifest.h"
#include "originD/picture.h"
#include "originD/playlist.h"

#define SOUND_PART 8         /* of a picture's rate, at most */
#define AVERAGE_STEP 10000 /* live, an average is told in these steps: the text does not change with each second */

struct multivariant {
        struct m3u8 x;
        const struct session *s;
        const char *folder, *slash; /* before each address */
        const char *file;           /* of each track */
        const struct manifest_options *o;
        const struct track *tracks[SESSION_TRACKS_MAX];
        size_t track_count;
};

static uint32_t average(const struct multivariant *m, const struct track *t)
{
        uint32_t most = manifest_bandwidth(m->s, t), bps = track_facts(m->s, t).average_bps;
        if (m->s->state == SESSION_LIVE)
                bps = (bps + AVERAGE_STEP - 1) / AVERAGE_STEP * AVERAGE_STEP;
        return bps < most ? bps : most;
}

static const struct track *sound_for(const struct multivariant *m, const struct track *picture)
{
        const struct track *best = NULL;
        uint32_t most = manifest_bandwidth(m->s, picture) / SOUND_PART, of_best = 0;
        for (size_t i = 0; i < m->track_count; i++) {
                const struct track *t = m->tracks[i];
                uint32_t bps = manifest_bandwidth(m->s, t);
                if (t->init.kind != TRACK_AUDIO)
                        continue;
                bool fits = bps <= most, best_fits = of_best <= most;
                if (!best || (fits && (!best_fits || bps > of_best)) || (!fits && !best_fits && bps < of_best)) {
                        best = t;
                        of_best = bps;
                }
        }
        return best;
}

static bool has_picture(const struct multivariant *m)
{
        for (size_t i = 0; i < m->track_count; i++)
                if (m->tracks[i]->init.kind == TRACK_VIDEO)
                        return true;
        return false;
}

static void write_address(struct multivariant *m, const struct track *t)
{
        m3u8_fmt(&m->x, "%s%s%s/%s", m->folder, m->slash, t->name, m->file);
}

static void write_sound_group(struct multivariant *m, const struct track *t)
{
        m3u8_fmt(&m->x, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"%s\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"%u\",URI=\"", t->name,
                 t->init.channels);
        write_address(m, t);
        m3u8_put(&m->x, "\"\n");
}

/* In the pictures themselves; which language is not known. */
static void write_caption_group(struct multivariant *m)
{
        m3u8_put(&m->x, "#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC1\",INSTREAM-ID=\"CC1\",AUTOSELECT=YES\n");
}

static void write_picture(struct multivariant *m, const struct track *t)
{
        struct track_facts f = track_facts(m->s, t);
        uint32_t fps_milli = t->fps_milli || m->s->state == SESSION_LIVE ? t->fps_milli : f.fps_milli;
        m3u8_fmt(&m->x, ",RESOLUTION=%ux%u", t->init.width, t->init.height);
        if (fps_milli)
                m3u8_fmt(&m->x, ",FRAME-RATE=%u.%03u", fps_milli / 1000, fps_milli % 1000);
        if (m->s->captions)
                m3u8_put(&m->x, ",CLOSED-CAPTIONS=\"cc\"");
}

static void write_variant(struct multivariant *m, const struct track *t)
{
        const struct track *sound = t->init.kind == TRACK_VIDEO ? sound_for(m, t) : NULL;
        uint32_t more = sound ? manifest_bandwidth(m->s, sound) : 0, average_bps = average(m, t), average_more = sound ? average(m, sound) : 0;
        m3u8_fmt(&m->x, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu32, manifest_bandwidth(m->s, t) + more);
        if (average_bps && (average_more || !sound))
                m3u8_fmt(&m->x, ",AVERAGE-BANDWIDTH=%" PRIu32, average_bps + average_more);
        m3u8_fmt(&m->x, ",CODECS=\"%s%s%s\"", t->init.codec, sound ? "," : "", sound ? sound->init.codec : "");
        if (t->init.kind == TRACK_VIDEO)
                write_picture(m, t);
        if (sound)
                m3u8_fmt(&m->x, ",AUDIO=\"%s\"", sound->name);
        if (m->o->steering)
                m3u8_put(&m->x, ",PATHWAY-ID=\"here\"");
        m3u8_put(&m->x, "\n");
        write_address(m, t);
        m3u8_put(&m->x, "\n");
}

/* The key pictures of a rung, for who winds. */
static void write_keys(struct multivariant *m, const struct track *t)
{
        m3u8_fmt(&m->x, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=%" PRIu32 ",CODECS=\"%s\",RESOLUTION=%ux%u,URI=\"%s%s%s/keys.m3u8\"\n",
                 manifest_bandwidth(m->s, t), t->init.codec, t->init.width, t->init.height, m->folder, m->slash, t->name);
}

/* Still pictures, for players that know of them; others pass over the line. */
static void write_pictures(struct multivariant *m, const struct track *t)
{
        m3u8_fmt(&m->x, "#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=%" PRIu32 ",RESOLUTION=%ux%u,CODECS=\"%s\",URI=\"",
                 manifest_bandwidth(m->s, t) / picture_every_s(t), t->init.width, t->init.height, t->init.codec);
        m3u8_fmt(&m->x, "%s%s%s/" PLAYLIST_FILE "\"\n", m->folder, m->slash, t->name); /* the same for all players */
}

static void write_title(struct multivariant *m)
{
        if (!m->s->title[0])
                return;
        m3u8_put(&m->x, "#EXT-X-SESSION-DATA:DATA-ID=\"com.apple.hls.title\",VALUE=");
        m3u8_quoted(&m->x, m->s->title);
        m3u8_put(&m->x, "\n");
}

static struct buf *write_multivariant(const struct session *s, const struct manifest_options *o, bool entry, int version, const char *file)
{
        struct multivariant m = {.s = s, .o = o, .file = file, .folder = entry ? s->id : "", .slash = entry ? "/" : ""};
        m.track_count = manifest_tracks(s, m.tracks);
        bool picture = has_picture(&m);
        m3u8_fmt(&m.x, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-INDEPENDENT-SEGMENTS\n", version);
        if (o->steering) /* edges clone this one (edged/steering.h), as in mpd.c */
                m3u8_fmt(&m.x, "#EXT-X-CONTENT-STEERING:SERVER-URI=\"%s/steering\",PATHWAY-ID=\"here\"\n", o->public_url);
        write_title(&m);
        if (s->captions && picture)
                write_caption_group(&m);
        for (size_t i = 0; i < m.track_count && picture; i++)
                if (m.tracks[i]->init.kind == TRACK_AUDIO)
                        write_sound_group(&m, m.tracks[i]);
        for (size_t i = 0; i < m.track_count; i++)
                if (!picture || m.tracks[i]->init.kind == TRACK_VIDEO)
                        write_variant(&m, m.tracks[i]);
        for (size_t i = 0; i < m.track_count; i++)
                if (m.tracks[i]->init.kind == TRACK_VIDEO)
                        write_keys(&m, m.tracks[i]);
        const struct track *pictures = picture_track(s);
        if (pictures)
                write_pictures(&m, pictures);
        return m3u8_end(&m.x);
}

static struct buf *write_master(const struct session *s, const struct manifest_options *o, bool entry)
{
        return write_multivariant(s, o, entry, PLAYLIST_VERSION, PLAYLIST_FILE);
}

static struct buf *write_classic(const struct session *s, const struct manifest_options *o, bool entry)
{
        return write_multivariant(s, o, entry, CLASSIC_VERSION, CLASSIC_FILE);
}

const struct manifest_format manifest_hls = {.file = "master.m3u8", .content_type = PLAYLIST_TYPE, .write = write_master};
const struct manifest_format manifest_classic_hls = {.file = "classic.m3u8", .content_type = PLAYLIST_TYPE, .write = write_classic};

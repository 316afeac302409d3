/* The configuration key `ladder` is an array. The first entry whose `match` (a shell pattern; left out: every stream)
 * fits the stream's id decides; if none does, or the array is empty, the default ladder below is used.
 *
 *     [{"match": "cam-*",
 *       "video": [{"height": 720, "kbps": 2500, "fps_max": 30}, {"height": 360, "kbps": 600}],
 *       "audio": [{"kbps": 128}]}]
 *
 *   video    0 … 8 rungs, highest first    height 64 … 4320 (even), kbps 50 … 20000, fps_max 0 … 120 (0, the default:
 *                                          as the source; every second, third … picture is kept, as many in even
 *                                          steps as it allows, with 6 % to spare), name (default "v" and the height)
 *   audio    0 … 4 rungs                   kbps 16 … 512, name (default "a" and the kbps)
 *   thumbs_s 0 … 60                        as the key thumbs_s, for these streams; left out: as that one says
 *   chunk_ms 100 or 200                    as the key chunk_ms, of their sessions that begin from then on; left out: likewise
 * A list left out is empty: without video rungs a stream's pictures are not encoded. Not both may be empty; an entry that says thumbs_s
 * or chunk_ms and has neither list has the default ladder's. */
#include "transcoderd/encode/ladder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/pattern.h"
#include "proto/store.h"

#define HEIGHT_MIN 64
#define HEIGHT_MAX 4320
#define FPS_MAX 120
#define VIDEO_KBPS_MIN 50
#define VIDEO_KBPS_MAX 20000 /* video_rung.c shows that a chunk of it fits BODY_MAX */
#define AUDIO_KBPS_MIN 16
#define AUDIO_KBPS_MAX 512

static const struct ladder default_ladder = {
        .video = {{"v1080", 1080, 30, 4500000},
                  {"v720", 720, 30, 2500000},
                  {"v480", 480, 30, 1200000},
                  {"v360", 360, 30, 600000},
                  {"v240", 240, 15, 250000}},
        .video_count = 5,
        .audio = {{"a128", 128000}, {"a64", 64000}},
        .audio_count = 2,
};

/* Where the reader is, for the sentence about what is wrong. */
struct judge {
        char where[64];
        char *why;
        size_t why_cap;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct judge *j, const char *fmt, ...)
{
        char text[200];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (j->why_cap)
                snprintf(j->why, j->why_cap, "%s%s", j->where, text);
        return ERR_CONFIG;
}

static int only_keys(const struct judge *j, const json_t *object, const char *allowed)
{
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)object, key, value) {
                char word[72];
                snprintf(word, sizeof(word), "|%.64s|", key);
                if (!strstr(allowed, word))
                        return refuse(j, ": unknown key \"%.64s\", allowed are %.*s", key, (int)strlen(allowed) - 2,
                                      allowed + 1);
        }
        return 0;
}

/* An integer in [min, max]; one that is left out gives fallback, or is refused if that is < 0. */
static int read_int(const struct judge *j, const json_t *object, const char *key, int64_t min, int64_t max,
                    int64_t fallback, int64_t *out)
{
        const json_t *v = json_object_get(object, key);
        if (!v && fallback >= 0) {
                *out = fallback;
                return 0;
        }
        if (!v)
                return refuse(j, ": \"%s\" is missing, allowed is %lld to %lld", key, (long long)min, (long long)max);
        if (!json_is_integer(v))
                return refuse(j, ": \"%s\" is not an integer, allowed is %lld to %lld", key, (long long)min,
                              (long long)max);
        *out = json_integer_value(v);
        if (*out < min || *out > max)
                return refuse(j, ": \"%s\" is %lld, allowed is %lld to %lld", key, (long long)*out, (long long)min,
                              (long long)max);
        return 0;
}

static int read_name(const struct judge *j, const json_t *object, char first, int64_t number,
                     char out[TRACK_NAME_MAX + 1])
{
        const json_t *v = json_object_get(object, "name");
        snprintf(out, TRACK_NAME_MAX + 1, "%c%lld", first, (long long)number);
        if (!v)
                return 0;
        const char *s = json_string_value(v);
        if (!s || !track_name_valid(s))
                return refuse(j, ": \"name\" is \"%.40s\", allowed is [a-z][a-z0-9]{1,15}", s ? s : "not a string");
        snprintf(out, TRACK_NAME_MAX + 1, "%s", s);
        return 0;
}

static int read_video(const struct judge *j, const json_t *object, struct ladder_video *r)
{
        int64_t height, kbps, fps_max;
        int err = only_keys(j, object, "|name|height|kbps|fps_max|");
        if (err || (err = read_int(j, object, "height", HEIGHT_MIN, HEIGHT_MAX, -1, &height)) ||
            (err = read_int(j, object, "kbps", VIDEO_KBPS_MIN, VIDEO_KBPS_MAX, -1, &kbps)) ||
            (err = read_int(j, object, "fps_max", 0, FPS_MAX, 0, &fps_max)) ||
            (err = read_name(j, object, 'v', height, r->name)))
                return err;
        if (height % 2)
                return refuse(j, ": \"height\" is %lld, allowed are even numbers", (long long)height);
        r->height = (int)height;
        r->fps_max = (int)fps_max;
        r->bitrate_bps = kbps * 1000;
        return 0;
}

static int read_audio(const struct judge *j, const json_t *object, struct ladder_audio *r)
{
        int64_t kbps;
        int err = only_keys(j, object, "|name|kbps|");
        if (err || (err = read_int(j, object, "kbps", AUDIO_KBPS_MIN, AUDIO_KBPS_MAX, -1, &kbps)) ||
            (err = read_name(j, object, 'a', kbps, r->name)))
                return err;
        r->bitrate_bps = kbps * 1000;
        return 0;
}

/* Sets the place for messages and judges that value is an object. */
static int enter(struct judge *j, const json_t *value, int entry, const char *list, size_t i)
{
        if (list)
                snprintf(j->where, sizeof(j->where), "entry %d, %s %zu", entry, list, i);
        return json_is_object(value) ? 0 : refuse(j, ": is not an object");
}

static int list_length(const struct judge *j, const json_t *list, const char *key, size_t max, size_t *out)
{
        *out = 0;
        if (!list)
                return 0;
        if (!json_is_array(list))
                return refuse(j, ": \"%s\" is not an array", key);
        if (json_array_size(list) > max)
                return refuse(j, ": \"%s\" has %zu rungs, allowed are %zu", key, json_array_size(list), max);
        *out = json_array_size(list);
        return 0;
}

static int unique_names(const struct judge *j, const struct ladder *l)
{
        const char *names[LADDER_VIDEO_MAX + LADDER_AUDIO_MAX];
        size_t n = 0;
        for (size_t i = 0; i < l->video_count; i++)
                names[n++] = l->video[i].name;
        for (size_t i = 0; i < l->audio_count; i++)
                names[n++] = l->audio[i].name;
        for (size_t a = 0; a < n; a++)
                if (!strcmp(names[a], PICTURES_TRACK))
                        return refuse(j, ": a rung is named \"%s\", which the track of still pictures is", names[a]);
        for (size_t a = 0; a < n; a++)
                for (size_t b = a + 1; b < n; b++)
                        if (!strcmp(names[a], names[b]))
                                return refuse(j, ": two rungs are named \"%s\", names are unique", names[a]);
        return 0;
}

static int read_thumbs(const struct judge *j, const json_t *entry, struct ladder *l)
{
        const json_t *v = json_object_get(entry, "thumbs_s");
        if (!v)
                return 0;
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > LADDER_THUMBS_MAX_S)
                return refuse(j, ": \"thumbs_s\" is not a whole number from 0 to %d", LADDER_THUMBS_MAX_S);
        l->says_thumbs = true;
        l->thumbs_s = json_integer_value(v);
        return 0;
}

static int read_chunk_ms(const struct judge *j, const json_t *entry, struct ladder *l)
{
        const json_t *v = json_object_get(entry, "chunk_ms");
        if (!v)
                return 0;
        if (!json_is_integer(v) || json_integer_value(v) < 0 || !chunk_ms_valid((uint64_t)json_integer_value(v)))
                return refuse(j, ": \"chunk_ms\" is not %d or %d", CHUNK_MS_SHORT, CHUNK_MS);
        l->chunk_ms = (unsigned)json_integer_value(v);
        return 0;
}

static int read_entry(struct judge *j, const json_t *entry, int number, struct ladder *l)
{
        *l = (struct ladder){0};
        snprintf(j->where, sizeof(j->where), "entry %d", number);
        int err = enter(j, entry, number, NULL, 0);
        if (err || (err = only_keys(j, entry, "|match|video|audio|thumbs_s|chunk_ms|")))
                return err;
        const json_t *match = json_object_get(entry, "match");
        const json_t *video = json_object_get(entry, "video"), *audio = json_object_get(entry, "audio");
        if (match && !json_is_string(match))
                return refuse(j, ": \"match\" is not a string");
        if (match && !pattern_possible(json_string_value(match)))
                return refuse(j, ": \"match\" is \"%.64s\", which no stream's name can fit", json_string_value(match));
        if ((err = list_length(j, video, "video", LADDER_VIDEO_MAX, &l->video_count)) ||
            (err = list_length(j, audio, "audio", LADDER_AUDIO_MAX, &l->audio_count)))
                return err;
        if ((err = read_thumbs(j, entry, l)) || (err = read_chunk_ms(j, entry, l)))
                return err;
        if ((l->says_thumbs || l->chunk_ms) && !video && !audio) {
                struct ladder usual = default_ladder;
                usual.says_thumbs = l->says_thumbs;
                usual.thumbs_s = l->thumbs_s;
                usual.chunk_ms = l->chunk_ms;
                *l = usual;
                return 0;
        }
        if (l->video_count + l->audio_count == 0)
                return refuse(j, ": has no rung, one is the least");
        for (size_t i = 0; i < l->video_count; i++) {
                const json_t *v = json_array_get(video, i);
                if ((err = enter(j, v, number, "video", i)) || (err = read_video(j, v, &l->video[i])))
                        return err;
                if (i > 0 && l->video[i].height > l->video[i - 1].height)
                        return refuse(j, ": \"height\" is %d after %d, the highest rung comes first",
                                      l->video[i].height, l->video[i - 1].height);
        }
        for (size_t i = 0; i < l->audio_count; i++) {
                const json_t *v = json_array_get(audio, i);
                if ((err = enter(j, v, number, "audio", i)) || (err = read_audio(j, v, &l->audio[i])))
                        return err;
        }
        snprintf(j->where, sizeof(j->where), "entry %d", number);
        return unique_names(j, l);
}

int ladder_check(const void *json_field, char *why, size_t why_cap)
{
        const json_t *config = *(json_t *const *)json_field;
        struct judge j = {.why = why, .why_cap = why_cap};
        struct ladder ignored;

        if (!config)
                return 0;
        if (!json_is_array(config))
                return refuse(&j, "is not an array of {\"match\", \"video\", \"audio\", \"thumbs_s\", \"chunk_ms\"}");
        for (size_t i = 0; i < json_array_size(config); i++) {
                int err = read_entry(&j, json_array_get(config, i), (int)i, &ignored);
                if (err)
                        return err;
        }
        return 0;
}

void ladder_for_stream(struct ladder *out, const json_t *config, const char *stream)
{
        struct judge j = {.why_cap = 0};
        const json_t *entry = pattern_first(config, stream);
        if (!entry || read_entry(&j, entry, 0, out) != 0)
                *out = default_ladder;
}

void ladder_limit(struct ladder *l, int source_height)
{
        size_t n = 0;
        for (size_t i = 0; i < l->video_count; i++)
                if (l->video[i].height <= source_height)
                        l->video[n++] = l->video[i];
        if (n == 0 && l->video_count > 0) {
                l->video[0] = l->video[l->video_count - 1];
                l->video[0].height = source_height;
                n = 1;
        }
        l->video_count = n;
}

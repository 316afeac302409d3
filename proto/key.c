#include "proto/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "proto/parts.h"

#define PARTS_MAX 5
#define IDENTITY_DIGITS 16
#define SECONDS_SAID_MAX 15

/* The name of everything that stands for a whole session. originD/manifest.c has what writes each, picture.c the poster. */
static const char *const manifests[] = {"manifest.mpd", "master.m3u8", "classic.mpd", "classic.m3u8", "ondemand.mpd", KEY_POSTER};

struct part {
        const char *at;
        size_t len;
};

/* "/a/b/c" into parts. Returns how many; 0 when one is empty, there are too many, or it does not begin with a slash. */
static size_t split(const char *text, struct part parts[PARTS_MAX])
{
        size_t n = 0;
        while (*text == '/') {
                size_t len = strcspn(++text, "/");
                if (n == PARTS_MAX || len == 0)
                        return 0;
                parts[n++] = (struct part){text, len};
                text += len;
        }
        return *text ? 0 : n;
}

static bool is(const struct part *p, const char *word)
{
        return strlen(word) == p->len && memcmp(p->at, word, p->len) == 0;
}

/* Into dst, if it fits and is such a name. */
static bool take(char *dst, size_t cap, const struct part *p, int (*valid)(const char *s))
{
        if (p->len >= cap)
                return false;
        memcpy(dst, p->at, p->len);
        dst[p->len] = '\0';
        return valid(dst);
}

static const char *manifest(const struct part *p)
{
        for (size_t i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++)
                if (is(p, manifests[i]))
                        return manifests[i];
        return NULL;
}

/* "17" and the suffix. Without leading zeros, which would make two names of one number. */
static bool take_number(uint64_t *out, uint64_t max, const struct part *p, const char *suffix)
{
        size_t digits = 0;
        uint64_t n = 0;
        for (; digits < p->len && p->at[digits] >= '0' && p->at[digits] <= '9'; digits++) {
                uint64_t digit = (uint64_t)(p->at[digits] - '0');
                if (digit > max || n > (max - digit) / 10)
                        return false;
                n = n * 10 + digit;
        }
        if (digits == 0 || (digits > 1 && p->at[0] == '0') || !is(&(struct part){p->at + digits, p->len - digits}, suffix))
                return false;
        *out = n;
        return true;
}

/* "17.m4s", "17x4.m4s". */
static bool take_segment(struct key *k, const struct part *p)
{
        const char *x = memchr(p->at, 'x', p->len);
        struct part before = {p->at, x ? (size_t)(x - p->at) : p->len}, behind = {p->at + before.len + 1, p->len - before.len - 1};
        uint64_t n, joined = 0;
        if (!take_number(&n, UINT32_MAX, &before, x ? "" : ".m4s"))
                return false;
        if (x && (!take_number(&joined, KEY_JOINED_MAX, &behind, ".m4s") || joined < 2 || (n + 1) * joined > UINT32_MAX))
                return false;
        k->joined = (uint8_t)joined;
        k->segment = (uint32_t)(joined ? n * joined : n);
        return true;
}

/* Takes word off the beginning, if it begins with it. */
static bool begins(struct part *p, const char *word)
{
        size_t len = strlen(word);
        if (p->len < len || memcmp(p->at, word, len) != 0)
                return false;
        *p = (struct part){p->at + len, p->len - len};
        return true;
}

/* "17." off the beginning. */
static bool take_word(uint64_t *out, uint64_t max, struct part *p)
{
        const char *dot = memchr(p->at, '.', p->len);
        struct part word = {p->at, dot ? (size_t)(dot - p->at) : 0};
        if (!dot || !take_number(out, max, &word, ""))
                return false;
        *p = (struct part){dot + 1, p->len - word.len - 1};
        return true;
}

/* "media.m3u8", "media.skip.m3u8", "media.17.1.m3u8", "media.17.1.skip.m3u8". */
static bool take_playlist(struct key *k, struct part p)
{
        uint64_t segment, part;
        k->classic = is(&p, "classic.m3u8");
        k->keys = is(&p, "keys.m3u8");
        if (k->classic || k->keys)
                return true;
        if (!begins(&p, "media."))
                return false;
        if (take_word(&segment, UINT32_MAX, &p)) {
                if (!take_word(&part, PARTS_OF_SEGMENT - 1, &p))
                        return false;
                k->segment = (uint32_t)segment;
                k->part = (uint8_t)part;
                k->waits = true;
        }
        k->skips = begins(&p, "skip.");
        return is(&p, "m3u8");
}

/* "17.key.m4s". */
static bool take_key_picture(struct key *k, const struct part *p)
{
        uint64_t number;
        if (!take_number(&number, UINT32_MAX, p, ".key.m4s"))
                return false;
        k->segment = (uint32_t)number;
        return true;
}

/* "17x5.jpg". */
static bool take_still(struct key *k, const struct part *p)
{
        const char *x = memchr(p->at, 'x', p->len);
        struct part before = {p->at, x ? (size_t)(x - p->at) : 0}, behind = {p->at + before.len + 1, p->len - before.len - 1};
        uint64_t number, every_s;
        if (!x || !take_number(&number, UINT32_MAX / KEY_PICTURE_EVERY_MAX, &before, "") ||
            !take_number(&every_s, KEY_PICTURE_EVERY_MAX, &behind, ".jpg") || every_s == 0)
                return false;
        k->segment = (uint32_t)(number * every_s);
        return true;
}

void key_write_playlist(char text[KEY_MAX + 1], const struct key *k)
{
        char version[24] = "";
        if (k->waits)
                snprintf(version, sizeof(version), "%u.%u.", k->segment, k->part);
        snprintf(text, KEY_MAX + 1, "/live/%s/%s/%s/media.%s%sm3u8", k->stream, k->session, k->track, version, k->skips ? "skip." : "");
}

/* "90-150." or "90-." off the beginning. */
static bool take_clip(struct key *k, struct part *p)
{
        uint64_t from, to = UINT32_MAX;
        const char *dash = memchr(p->at, '-', p->len), *dot = memchr(p->at, '.', p->len);
        struct part first = {p->at, dash ? (size_t)(dash - p->at) : 0};
        if (!dash || !dot || dot < dash || !take_number(&from, UINT32_MAX - 1, &first, ""))
                return false;
        struct part second = {dash + 1, (size_t)(dot - dash) - 1};
        if (second.len && !take_number(&to, UINT32_MAX - 1, &second, ""))
                return false;
        k->from = (uint32_t)from;
        k->to = (uint32_t)to;
        *p = (struct part){dot + 1, p->len - (size_t)(dot + 1 - p->at)};
        return from < to && (from || second.len); /* what means all of it has the other name only */
}

/* "0123456789abcdef.17.mp4". */
static bool take_piece(struct key *k, struct part p)
{
        uint64_t n;
        if (p.len < IDENTITY_DIGITS + 1 || p.at[IDENTITY_DIGITS] != '.')
                return false;
        k->identity = 0;
        for (size_t i = 0; i < IDENTITY_DIGITS; i++) {
                const char *digit = memchr("0123456789abcdef", p.at[i], 16);
                if (!digit)
                        return false;
                k->identity = k->identity << 4 | (uint64_t)(digit - "0123456789abcdef");
        }
        struct part number = {p.at + IDENTITY_DIGITS + 1, p.len - IDENTITY_DIGITS - 1};
        if (!take_number(&n, UINT32_MAX, &number, ".mp4"))
                return false;
        k->piece = (uint32_t)n;
        return true;
}

/* "recording.mp4", "recording.90-150.mp4", "recording.90-.mp4", the same with json, and pieces; and of a track "ondemand.mp4" and so
 * on. */
static enum key_kind take_recording(struct key *k, struct part p, bool of_track)
{
        k->ondemand = of_track && begins(&p, "ondemand.");
        if (!k->ondemand && !begins(&p, "recording."))
                return KEY_NONE;
        k->from = 0;
        k->to = UINT32_MAX;
        const char *dot = memchr(p.at, '.', p.len);
        if (dot && memchr(p.at, '-', (size_t)(dot - p.at)) && !take_clip(k, &p))
                return KEY_NONE;
        return is(&p, "mp4") ? KEY_RECORDING : is(&p, "json") ? KEY_FACTS : take_piece(k, p) ? KEY_PIECE : KEY_NONE;
}

void key_write_recording(char text[KEY_MAX + 1], const struct key *k)
{
        char clip[24] = "", piece[IDENTITY_DIGITS + 14] = "";
        if (k->to != UINT32_MAX)
                snprintf(clip, sizeof(clip), "%u-%u.", k->from, k->to);
        else if (k->from)
                snprintf(clip, sizeof(clip), "%u-.", k->from);
        if (k->kind == KEY_PIECE)
                snprintf(piece, sizeof(piece), "%016" PRIx64 ".%u.", k->identity, k->piece);
        snprintf(text, KEY_MAX + 1, "/live/%s/%s/%s%s%s.%s%s%s", k->stream, k->session, k->track, *k->track ? "/" : "",
                 k->ondemand ? "ondemand" : "recording", clip, piece, k->kind == KEY_FACTS ? "json" : "mp4");
}

/* As people write it: leading zeros do no harm here. */
static bool take_seconds(uint32_t *out, const char *text)
{
        struct part p = {text, strlen(text)};
        uint64_t n;
        while (p.len > 1 && *p.at == '0') {
                p.at++;
                p.len--;
        }
        if (!take_number(&n, UINT32_MAX - 1, &p, ""))
                return false;
        *out = (uint32_t)n;
        return true;
}

/* Of what is not for repeating nothing is. */
static void say_no_seconds(char why[KEY_WHY_MAX], const char *name, const char *given, unsigned as)
{
        size_t len = strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:+-");
        bool plain = len <= SECONDS_SAID_MAX && given[len] == '\0';
        snprintf(why, KEY_WHY_MAX, "%s=%s is given, but %s is whole seconds of the broadcast, as %s=%u", name,
                 plain ? given : "(what cannot be repeated)", name, name, as);
}

bool key_cut_recording(struct key *k, const char *from, const char *to, char why[KEY_WHY_MAX])
{
        uint32_t first = k->from, end = k->to;
        if (from && *from && !take_seconds(&first, from)) {
                say_no_seconds(why, "from", from, 90);
                return false;
        }
        if (to && *to && !take_seconds(&end, to)) {
                say_no_seconds(why, "to", to, 150);
                return false;
        }
        if (first >= end) {
                snprintf(why, KEY_WHY_MAX, "from=%u and to=%u are given, but from is to be before to", first, end);
                return false;
        }
        k->from = first;
        k->to = end;
        return true;
}

static enum key_kind parse_live(struct key *k, const struct part *p, size_t n)
{
        if (n < 3 || !take(k->stream, sizeof(k->stream), &p[1], stream_id_valid))
                return KEY_NONE;
        if (n == 3)
                return (k->file = manifest(&p[2])) ? KEY_ENTRY : KEY_NONE;
        if (!take(k->session, sizeof(k->session), &p[2], session_id_valid))
                return KEY_NONE;
        enum key_kind recording = take_recording(k, p[n - 1], n == PARTS_MAX);
        if (n == 4 && recording)
                return recording;
        if (n == 4)
                return (k->file = manifest(&p[3])) ? KEY_MANIFEST : KEY_NONE;
        if (!take(k->track, sizeof(k->track), &p[3], track_name_valid))
                return KEY_NONE;
        if (take_playlist(k, p[4]))
                return KEY_PLAYLIST;
        if (recording)
                return recording;
        if (strcmp(k->track, PICTURES_TRACK) == 0 ? take_still(k, &p[4]) : take_key_picture(k, &p[4]))
                return KEY_PICTURE;
        return is(&p[4], "init.mp4") ? KEY_INIT : take_segment(k, &p[4]) ? KEY_SEGMENT : KEY_NONE;
}

static enum key_kind parse_peer_live(struct key *k, const struct part *p, size_t n)
{
        uint64_t before_ms = INT64_MAX;
        bool well = take_number(&k->since, UINT64_MAX, &p[2], "") &&
                    (n == 3 || (n == 5 && take_number(&before_ms, INT64_MAX, &p[3], "") &&
                                take(k->session, sizeof(k->session), &p[4], session_id_valid)));
        k->before_ms = (int64_t)before_ms;
        return well ? KEY_PEER_LIVE : KEY_NONE;
}

static enum key_kind parse_peer(struct key *k, const struct part *p, size_t n)
{
        k->below = UINT64_MAX;
        if ((n == 3 || (n == 4 && take_number(&k->below, UINT32_MAX + UINT64_C(1), &p[3], ""))) && is(&p[1], "session") &&
            take(k->session, sizeof(k->session), &p[2], session_id_valid))
                return KEY_PEER_SESSION;
        if (n == 3 && is(&p[1], "ended") && take_number(&k->since, UINT64_MAX, &p[2], ""))
                return KEY_PEER_ENDED;
        if (n > 2 && is(&p[1], "live"))
                return parse_peer_live(k, p, n);
        return n == 2 && is(&p[1], "events") ? KEY_PEER_EVENTS : KEY_NONE;
}

static enum key_kind parse_names(struct key *k, const struct part *p, size_t n)
{
        return n == 3 && take_number(&k->instance, UINT64_MAX, &p[1], "") && take_number(&k->since, UINT64_MAX, &p[2], "") ? KEY_NAMES
                                                                                                                        : KEY_NONE;
}

/* A time since 1970. Only as clock_iso() writes it: it would be two names of one page otherwise. */
static bool take_time(int64_t *out_ms, const struct part *p)
{
        char text[CLOCK_ISO_MAX], again[CLOCK_ISO_MAX];
        struct tm tm = {0};
        int ms;
        if (p->len >= sizeof(text))
                return false;
        memcpy(text, p->at, p->len);
        text[p->len] = '\0';
        if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
                   &tm.tm_sec, &ms) != 7)
                return false;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        *out_ms = (int64_t)timegm(&tm) * 1000 + ms;
        return *out_ms >= 0 && strcmp(clock_iso(again, sizeof(again), *out_ms * US_PER_MS), text) == 0;
}

/* The time that a session's name begins with; false: it does not. */
static bool take_epoch(int64_t *out_s, const char *session)
{
        struct tm tm = {0};
        char again[SESSION_ID_MAX + 1];
        if (sscanf(session, "%4d%2d%2dT%2d%2d%2dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
                return false;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        time_t s = timegm(&tm);
        size_t len = strftime(again, sizeof(again), "%Y%m%dT%H%M%SZ-", &tm);
        *out_s = s;
        return s >= 0 && strncmp(session, again, len) == 0;
}

bool key_is_past(const struct key *k, int64_t wall_us)
{
        int64_t epoch_s;
        return k->kind == KEY_SEGMENT && take_epoch(&epoch_s, k->session) &&
               wall_us / US_PER_S > epoch_s + k->segment + (k->joined ? k->joined : 1);
}

static enum key_kind parse_api(struct key *k, const struct part *p, size_t n)
{
        if (n == 2 && is(&p[1], "streams"))
                return KEY_STREAMS;
        if (n < 2 || !is(&p[1], "recordings"))
                return KEY_NONE;
        k->before_ms = INT64_MAX;
        if (n == 2)
                return KEY_RECORDINGS;
        bool well = (n == 4 || n == 5) && is(&p[2], "before") && take_time(&k->before_ms, &p[3]) &&
                    (n == 4 || take(k->session, sizeof(k->session), &p[4], session_id_valid));
        return well ? KEY_RECORDINGS : KEY_NONE;
}

const char *key_bad_page(const char *text)
{
        struct key k;
        size_t len = strlen(KEY_RECORDINGS_PATH);
        if (strncmp(text, KEY_RECORDINGS_PATH, len) != 0 || (text[len] && text[len] != '/'))
                return NULL;
        key_parse(&k, text);
        return k.kind ? NULL
                      : "a page of recordings is " KEY_RECORDINGS_PATH ", " KEY_RECORDINGS_PATH "/before/TIME/SESSION, as the page "
                        "before it says, or " KEY_RECORDINGS_PATH "/before/TIME, where TIME is like 2026-01-31T12:34:56.789Z";
}

void key_parse(struct key *out, const char *text)
{
        struct part parts[PARTS_MAX];
        struct key k = {.kind = KEY_NONE};
        size_t n = split(text, parts);
        if (n && is(&parts[0], "live"))
                k.kind = parse_live(&k, parts, n);
        else if (n && is(&parts[0], "peer"))
                k.kind = parse_peer(&k, parts, n);
        else if (n && is(&parts[0], "api"))
                k.kind = parse_api(&k, parts, n);
        else if (n && is(&parts[0], "names"))
                k.kind = parse_names(&k, parts, n);
        else if (n == 1 && is(&parts[0], &KEY_VIEWERS_PATH[1]))
                k.kind = KEY_VIEWERS;
        *out = k.kind ? k : (struct key){.kind = KEY_NONE}; /* nothing half parsed is to be used */
}

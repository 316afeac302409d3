/* fragment.h - reads the bytes of a chunk back, for tests: which boxes, tfdt, and the samples of its trun. */
#ifndef TESTS_UNIT_FRAGMENT_H
#define TESTS_UNIT_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FRAGMENT_SAMPLES 256

struct fragment {
        char boxes[64]; /* "styp prft moof mdat " */
        int64_t tfdt;
        int count;
        int64_t duration[FRAGMENT_SAMPLES];
        bool key[FRAGMENT_SAMPLES];
        int64_t prft_ntp, prft_media;
};

static inline uint32_t fragment_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline int64_t fragment_u64(const uint8_t *p)
{
        return (int64_t)((uint64_t)fragment_u32(p) << 32 | fragment_u32(p + 4));
}

/* tfhd and trun: only the fields an fMP4 muxer writes. */
static inline void fragment_samples(struct fragment *f, const uint8_t *tfhd, const uint8_t *trun)
{
        uint32_t flags = fragment_u32(tfhd) & 0xffffff, duration = 0, sample_flags = 0, first_flags = 0;
        const uint8_t *p = tfhd + 8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0);
        if (flags & 8)
                duration = fragment_u32(p), p += 4;
        p += flags & 16 ? 4 : 0;
        if (flags & 32)
                sample_flags = fragment_u32(p);
        flags = fragment_u32(trun) & 0xffffff;
        f->count = (int)fragment_u32(trun + 4);
        p = trun + 8 + (flags & 1 ? 4 : 0);
        if (flags & 4)
                first_flags = fragment_u32(p), p += 4;
        for (int i = 0; i < f->count && i < FRAGMENT_SAMPLES; i++) {
                uint32_t own = i == 0 && flags & 4 ? first_flags : sample_flags;
                f->duration[i] = duration;
                if (flags & 0x100)
                        f->duration[i] = fragment_u32(p), p += 4;
                p += flags & 0x200 ? 4 : 0;
                if (flags & 0x400)
                        own = fragment_u32(p), p += 4;
                p += flags & 0x800 ? 4 : 0;
                f->key[i] = !(own & 0x10000);
        }
}

static inline void fragment_walk(struct fragment *f, const uint8_t *p, const uint8_t *end, int depth,
                                 const uint8_t **tfhd)
{
        while (p + 8 <= end) {
                uint32_t len = fragment_u32(p);
                const uint8_t *body = p + 8, *next = len >= 8 && len <= end - p ? p + len : end;
                if (depth == 0)
                        snprintf(f->boxes + strlen(f->boxes), sizeof(f->boxes) - strlen(f->boxes), "%.4s ", p + 4);
                if (!memcmp(p + 4, "moof", 4) || !memcmp(p + 4, "traf", 4))
                        fragment_walk(f, body, next, depth + 1, tfhd);
                if (!memcmp(p + 4, "tfhd", 4))
                        *tfhd = body;
                if (!memcmp(p + 4, "tfdt", 4))
                        f->tfdt = body[0] ? fragment_u64(body + 4) : fragment_u32(body + 4);
                if (!memcmp(p + 4, "trun", 4) && *tfhd)
                        fragment_samples(f, *tfhd, body);
                if (!memcmp(p + 4, "prft", 4)) {
                        f->prft_ntp = fragment_u64(body + 8);
                        f->prft_media = fragment_u64(body + 16);
                }
                p = next;
        }
}

static inline struct fragment fragment_read(const uint8_t *data, size_t len)
{
        struct fragment f = {.boxes = ""};
        const uint8_t *tfhd = NULL;
        fragment_walk(&f, data, data + len, 0, &tfhd);
        return f;
}

#endif

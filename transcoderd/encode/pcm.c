#include "transcoderd/encode/pcm.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define DRIFT_FREE 240      /* 5 ms are left alone: RTMP's milliseconds wander by half of one */
#define DRIFT_MOST 480      /* 1 % in a window: not to be heard, and faster than media time is ever slewed */
#define DRIFT_SMOOTH 24000.0 /* time constant, samples */

void pcm_init(struct pcm *p, int64_t first)
{
        p->len = 0;
        p->first = first;
}

void pcm_fini(struct pcm *p)
{
        for (int c = 0; c < PCM_CHANNELS; c++)
                free(p->samples[c]);
        *p = (struct pcm){0};
}

int64_t pcm_end(const struct pcm *p)
{
        return p->first + (int64_t)p->len;
}

void pcm_append(struct pcm *p, const float *const data[PCM_CHANNELS], size_t count)
{
        if (p->len + count > p->cap)
                p->cap = (p->len + count) * 2;
        for (int c = 0; c < PCM_CHANNELS; c++) {
                p->samples[c] = mem_resize(p->samples[c], p->cap * sizeof(float));
                if (data)
                        memcpy(p->samples[c] + p->len, data[c], count * sizeof(float));
                else
                        memset(p->samples[c] + p->len, 0, count * sizeof(float));
        }
        p->len += count;
}

bool pcm_take(struct pcm *p, float *const out[PCM_CHANNELS], size_t count)
{
        if (p->len < count)
                return false;
        p->len -= count;
        p->first += (int64_t)count;
        for (int c = 0; c < PCM_CHANNELS; c++) {
                memcpy(out[c], p->samples[c], count * sizeof(float));
                memmove(p->samples[c], p->samples[c] + count, p->len * sizeof(float));
        }
        return true;
}

struct pcm_fit pcm_fit(int64_t end, int64_t target, int64_t apart)
{
        int64_t error = target - end;
        if (error > apart)
                return (struct pcm_fit){.insert = error};
        if (error < -apart)
                return (struct pcm_fit){.skip = -error};
        return (struct pcm_fit){0};
}

void drift_reset(struct drift *d)
{
        *d = (struct drift){0};
}

int drift_add(struct drift *d, int64_t error, int64_t count)
{
        double weight = (double)count / DRIFT_SMOOTH;
        d->error += ((double)error - d->error) * (weight < 1 ? weight : 1);
        d->since += count;
        if (d->since < DRIFT_WINDOW)
                return 0;
        d->since = 0;
        if (d->error > -DRIFT_FREE && d->error < DRIFT_FREE)
                return 0;
        return d->error > DRIFT_MOST ? DRIFT_MOST : d->error < -DRIFT_MOST ? -DRIFT_MOST : (int)d->error;
}

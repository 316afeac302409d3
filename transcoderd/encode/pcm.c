#include "transcoderd/encode/pcm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define DRIFT_FREE 96         /* 2 ms are left alone until the clocks are known to differ: RTMP's milliseconds wander by half of one */
#define DRIFT_SMOOTH 48000.0  /* time constant of the error, samples */
#define DRIFT_PULL (1.0 / 8)  /* so much of the error is made good in a window */
#define DRIFT_GENTLE 48.0     /* samples in a window, 0.1 %, as long as the error is less than DRIFT_FAR */
#define DRIFT_FAR 960.0       /* 20 ms: half way to where sound would be cut */
#define DRIFT_LEARN (1.0 / 16) /* so much of what is made good counts as the clocks' own difference */
#define DRIFT_MOST 480.0      /* 1 % in a window: faster than media time is ever slewed */

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

void drift_moved(struct drift *d)
{
        d->error = 0;
        d->since = 0;
}

static double between(double v, double least, double most)
{
        return v < least ? least : v > most ? most : v;
}

/* A loop of the second order (proportional, and integral): the pitch of a clock that is off comes to stand still where it
 * belongs, instead of going to and fro. */
int drift_add(struct drift *d, int64_t error, int64_t count)
{
        double weight = (double)count / DRIFT_SMOOTH;
        d->error += ((double)error - d->error) * (weight < 1 ? weight : 1);
        d->since += count;
        if (d->since < DRIFT_WINDOW)
                return 0;
        d->since = 0;
        d->active = d->active || d->error < -DRIFT_FREE || d->error > DRIFT_FREE;
        if (!d->active)
                return 0;
        double pull = between(d->error * DRIFT_PULL, -DRIFT_GENTLE, DRIFT_GENTLE);
        pull += (d->error - between(d->error, -DRIFT_FAR, DRIFT_FAR)) / 2;
        d->rate = between(d->rate + pull * DRIFT_LEARN, -DRIFT_MOST, DRIFT_MOST);
        return (int)lrint(between(d->rate + pull, -DRIFT_MOST, DRIFT_MOST));
}

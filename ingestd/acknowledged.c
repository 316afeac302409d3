#include "ingestd/acknowledged.h"

#include <stddef.h>

void acknowledged_begin(struct acknowledged *a, uint64_t head)
{
        a->most_sent = a->most_taken = a->sent = a->taken = a->wire_zero = head;
        a->credit = BATCH_FRAMES_MAX;
        a->answer_us = a->asked_us = 0;
        a->going_back = a->told = false;
}

void acknowledged_stay(struct acknowledged *a, uint64_t head, uint64_t seq)
{
        a->most_sent = a->most_taken = a->sent = a->taken = head;
        a->wire_zero = head - seq;
}

void acknowledged_ground(struct acknowledged *a)
{
        a->sent = a->taken;
        a->going_back = false;
}

uint64_t acknowledged_seq(const struct acknowledged *a)
{
        return a->sent - a->wire_zero;
}

uint64_t acknowledged_room(const struct acknowledged *a)
{
        uint64_t in_flight = a->sent - a->taken;
        return a->credit > in_flight ? a->credit - in_flight : 0;
}

void acknowledged_send(struct acknowledged *a, unsigned frames, int64_t now_us)
{
        acknowledged_tell(a, frames);
        a->sent_us = a->asked_us = now_us;
        a->told = false;
}

bool acknowledged_may_tell(const struct acknowledged *a, uint64_t waiting, int64_t now_us)
{
        uint64_t room = acknowledged_room(a);
        bool near = a->answer_us && a->answer_us < RELAY_FAR_US;
        return near && !a->going_back && room > a->credit / 2 && waiting <= room / 4 && now_us - a->asked_us < RELAY_TOLD_US;
}

void acknowledged_tell(struct acknowledged *a, unsigned frames)
{
        a->sent += frames;
        a->most_sent = a->sent > a->most_sent ? a->sent : a->most_sent;
        a->told = true;
}

bool acknowledged_possible(const struct acknowledged *a, uint64_t seq)
{
        return a->wire_zero + seq <= a->most_sent;
}

enum acknowledged_verdict acknowledged_read(struct acknowledged *a, uint64_t next_seq, uint64_t end, uint64_t head,
                                            struct acknowledgement *out)
{
        uint64_t taken = a->wire_zero + next_seq;
        if (end < a->taken && taken < a->taken) /* the frames it says were taken may be gone from the replay */
                return ACK_OVERTAKEN;
        if (taken < head)
                return ACK_GONE;
        *out = (struct acknowledgement){.more = taken > a->most_taken,
                                        .stuck = taken <= a->taken && end > a->taken,
                                        .again = taken < end ? end - taken : 0};
        if (out->again) /* the transcoder had no room for all, or a batch has overtaken the one before it */
                a->going_back = true;
        a->taken = taken;
        a->most_taken = out->more ? taken : a->most_taken;
        return ACK_TAKEN;
}

bool acknowledged_stranded(const struct acknowledged *a, unsigned aboard)
{
        return a->sent < a->taken || (a->going_back && !aboard);
}

/* The least of late, which grows slowly: a transcoder that is busy for a moment is not far away. */
void acknowledged_took(struct acknowledged *a, int64_t took_us)
{
        bool less = !a->answer_us || took_us < a->answer_us;
        a->answer_us = less ? took_us : a->answer_us + (took_us - a->answer_us) / 32;
}

/* Batches leave one after the other in as long as an answer takes, or they would all leave at once whenever one is answered. */
int64_t acknowledged_next_us(const struct acknowledged *a, unsigned aboard)
{
        bool far = a->answer_us >= RELAY_FAR_US; /* near: the next batch may as well wait for the answer to the one before */
        if (!far || a->going_back || aboard >= RELAY_WINDOW || !acknowledged_room(a))
                return INT64_MAX;
        return a->sent_us + a->answer_us / RELAY_WINDOW;
}

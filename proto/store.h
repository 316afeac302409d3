/* store.h - transcoderd to originD: CLAIM a session, PUT its chunks, END it.
 *
 * A stream has several owners, and a writer claims the session at each: the highest generation that any of them gave is
 * then its own at all of them (CLAIM_JOIN). One that is fenced by any owner gives the session up everywhere.
 * The origin hands out generations, refuses older ones (ERR_FENCED) and takes chunks only in order. PUT is answered when
 * the chunk is in the store. A chunk sent again is answered `stored` again. A track begins with its init segment
 * (PUT_INIT); bytes that differ from what is stored for that track are ERR_CONFLICT. */
#ifndef PROTO_STORE_H
#define PROTO_STORE_H

#include <stdbool.h>

#include "common/buf.h"
#include "proto/media.h"
#include "proto/message.h"

#define SESSION_TRACKS_MAX 16
/* 64 bits: of a segment's number, which has 32, the time must not come round again after 71 minutes. */
#define SEGMENT_US INT64_C(1000000)
/* The grid: all chunks of a session have the same time, CHUNK_MS or CHUNK_MS_SHORT, as was said when it began. 0 is CHUNK_MS: who says
 * nothing, as an older node does and an older file, has that grid. */
#define CHUNK_MS 200
#define CHUNK_MS_SHORT 100
#define CHUNKS_MOST (1000 / CHUNK_MS_SHORT) /* of a segment, in any session */
static inline int64_t chunk_us(unsigned chunk_ms)
{
        return (chunk_ms ? chunk_ms : CHUNK_MS) * INT64_C(1000);
}
static inline unsigned chunks_of_segment(unsigned chunk_ms)
{
        return 1000 / (chunk_ms ? chunk_ms : CHUNK_MS);
}
static inline bool chunk_ms_valid(uint64_t chunk_ms)
{
        return chunk_ms == CHUNK_MS || chunk_ms == CHUNK_MS_SHORT;
}
/* The track of still pictures (TRACK_PICTURES), of which a session has one at most: of each second a sample, a JPEG file, or without
 * bytes where the one before stands for that second too. Nothing is held up for it. */
#define PICTURES_TRACK "thumbs"

struct claim {
        char stream[STREAM_ID_MAX + 1];
        char session[SESSION_ID_MAX + 1]; /* proposed, used if no session of the stream is alive */
        int64_t epoch_us;                 /* proposed likewise */
        char node[NODE_ID_MAX + 1];
        char title[128];
        uint32_t grace_ms; /* an origin ends the session by itself when nobody wrote for this long and 10 s more */
        uint8_t flags;
        /* Without CLAIM_JOIN the new generation is the first above both this and the session's; one that there cannot be (generation.h)
         * does not count. With CLAIM_JOIN it is just this. */
        uint32_t generation;
        /* The grid of a session that this begins, CHUNK_MS or CHUNK_MS_SHORT; one that is there keeps its own. 0 is not said: of a new
         * session CHUNK_MS. With CLAIM_JOIN it is the session's, unless the writer does not know it (a shadow's first); it is taken
         * over by a session that has no track yet, and ERR_CONFLICT where it has one on another grid. Only CHUNK_MS_SHORT is written
         * into the message: without it the message is the one that older nodes know. */
        uint8_t chunk_ms;
};

/* The session exists at another origin, by a claim this writer made there: take it up here too, under this id and this
 * generation. Taken when the session's generation here is older, or the same and the same node's; ERR_FENCED otherwise.
 * ERR_CLOSED: it ended here. An older session of the stream that is still alive here missed its end: it ends now, and so
 * does one without tracks that the same node's claim made; another newer one is ERR_FENCED. Then the origin compares with its
 * peers: the writer PUTs nothing while this origin lacks what came before, or has more than the owner it went on from. */
#define CLAIM_JOIN 0x01
/* Only a session that is alive and has something: it is claimed as without this flag. Where there is none, nothing is made or changed:
 * ERR_NOT_FOUND. A transcoder that has no room asks so, since what has viewers may go on there, and nothing may begin. */
#define CLAIM_ONLY_LIVE 0x02

void claim_encode(struct writer *w, const void *message);
int claim_decode(struct reader *r, struct claim *m);

struct claim_track {
        char name[TRACK_NAME_MAX + 1];
        uint32_t next_segment; /* where the next chunk belongs at the earliest, even if its first sample is due before that */
        uint8_t next_chunk;
        int64_t end_us;        /* what is at or after is not stored yet; a guessed end is sooner by what it may be wrong */
};
struct claim_reply {
        int8_t status; /* 0, ERR_NOT_FOUND (of CLAIM_ONLY_LIVE only), ERR_NOSPACE, ERR_FULL, ERR_IO, ERR_LIMIT (there is no such
                          generation, or none is left for a moment: generation.h); ERR_FENCED: of CLAIM_JOIN only, or another claim
                          came while this one was saved; ERR_CLOSED: of CLAIM_JOIN; ERR_CANCELED: stopping */
        char session[SESSION_ID_MAX + 1];
        int64_t epoch_us;
        uint32_t generation;
        uint32_t written_generation; /* whose the newest stored chunk is; 0: none is stored */
        uint8_t track_count; /* 0: a new session */
        uint8_t chunk_ms;    /* the session's grid; written as in CLAIM: an older node takes no session that it cannot go on with */
        struct claim_track tracks[SESSION_TRACKS_MAX];
};
void claim_reply_encode(struct writer *w, const void *message);
int claim_reply_decode(struct reader *r, struct claim_reply *m);

#define PUT_INIT 0x01  /* bytes are the track's init segment; segment is the first it has, start_us the Period it begins in */
#define PUT_LAST 0x02  /* the last chunk of its segment */
#define PUT_SLATE 0x04 /* stands for something that was never received */
/* From the shadow of the transcoder that claimed the generation (its CLAIM_JOIN carries that one's node): both encode the
 * same frames, and a chunk of each place is stored once. The shadow's is held for a moment while the other's is likely to
 * come. */
#define PUT_SHADOW 0x08

struct put {
        char session[SESSION_ID_MAX + 1];
        uint32_t generation;
        char track[TRACK_NAME_MAX + 1];
        uint8_t flags;
        uint32_t segment;
        uint8_t chunk;       /* on the session's grid: of its segment's chunks, the one that start_us lies in */
        int64_t start_us;    /* media time of the first sample */
        /* To where the next chunk may begin at the earliest. Another end than that of the boxes says that how long the last
         * sample lasts is a guess: the chunk was cut before the next one was seen, or its writer leaves. */
        int64_t duration_us;
        uint32_t bandwidth;  /* PUT_INIT only: what a segment has at most, bit/s */
        uint32_t fps_milli;  /* PUT_INIT only, video: frames per 1000 s, e.g. 29970 */
        /* What this chunk cannot be decoded without: xxh3 of the chunk that this writer made before it. Taken only behind
         * that very chunk, whoever stored it; of sound it only says whether the two writers make the same, so that either
         * may be taken. 0: it needs nothing, or there is no other writer. Never with PUT_INIT. */
        uint64_t previous;
        /* So far the track is to be stored before this: within the chunk before, whose PUT is not answered yet. PUTs that are under way
         * together may come in any order, and one of them may be refused. 0: no matter. Never with PUT_INIT. */
        int64_t after_us;
        const uint8_t *bytes;
        uint32_t len; /* ≤ BODY_MAX */
};
void put_encode(struct writer *w, const void *message);
int put_decode(struct reader *r, struct put *m);

struct put_reply {
        int8_t status; /* 0 stored; ERR_FENCED: there is a newer writer, or what the other one of this generation stored
                          last is not what this chunk goes on from; ERR_ORDER: next_* say what is expected; ERR_NOSPACE;
                          ERR_CONFLICT;
                          ERR_NOT_FOUND: no such session or track here, or it was not claimed since this origin started:
                          join it again; ERR_NOT_YET: what comes before it is on its way from another origin, or is
                          not stored up to after_us, send it again; ERR_CANCELED: stopping */
        uint32_t next_segment;
        uint8_t next_chunk;
        int64_t end_us; /* of the track after this */
};
void put_reply_encode(struct writer *w, const void *message);
int put_reply_decode(struct reader *r, struct put_reply *m);

/* To every owner that is up. 0 also where the last chunks are missing and another origin has them: it ends when they are copied. */
struct end {
        char session[SESSION_ID_MAX + 1];
        uint32_t generation;
        int64_t end_us;
};
void end_encode(struct writer *w, const void *message);
int end_decode(struct reader *r, struct end *m);
/* END_REPLY is a status_reply: 0, ERR_FENCED, ERR_NOT_FOUND (as in put_reply), ERR_CANCELED. */

#endif

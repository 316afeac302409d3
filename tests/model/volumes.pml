/* volumes.pml - one track as a row of volumes at two origins: late copies, filling in, damage, cuts and retention.
 * README.md says what is modelled, what is left out, and what holds.
 *
 * A place is one chunk; what stands in it is the generation of its writer. How a writer becomes one is store.pml's: here it
 * is one step, after which the newest generation PUTs, and at an origin that did not hear of it the one before may go on.
 * Of an origin's disk there are chunks (who), eras, which volumes are closed, which are known to be only begun (torn), the
 * end, and the first volume that is kept. The rest is memory and goes when it dies. Nothing takes time, as in store.pml. */

#ifndef VOLUMES
#define VOLUMES 3
#endif
#ifndef SEGMENT
#define SEGMENT 1 /* places; 2: a segment is a volume */
#endif
#define V 2 /* places a volume */
#define PLACES (VOLUMES * V)

c_decl {
        \#include <stdlib.h>
        static int number(const char *name)
        {
                const char *text = getenv(name);
                return text ? atoi(text) : 0;
        }
};
byte t_crashes, mishaps, splits, o_crashes, disks, damages, rots, retains; /* how often; README.md says what they are */

byte mutant; /* the rule that is broken */
#define NO_CRC (mutant == 1)       /* a volume is taken without its checksum */
#define NOT_TORN (mutant == 2)     /* going on at a later volume closes the one that was begun */
#define UNLINK_FIRST (mutant == 3) /* retention unlinks, then notes the first volume that is kept */
#define NO_FLOOR (mutant == 4)     /* a volume is taken without another look at what retention keeps */
#define NO_ERAS (mutant == 5)      /* a volume is taken whatever its eras are */
#define END_IS_LAST (mutant == 6)  /* a track ends behind its last chunk, whatever volumes it knows to lack */
#define EMPTY_ERAS (mutant == 7)   /* a new copy takes over the eras of what it copies only */
#define CUT_BLIND (mutant == 8)    /* eras are compared where one of the two has nothing */
#define NO_CUT_LOWERS (mutant == 9) /* a cut leaves the first volume that is kept as it is */
#define BEGIN_ANYWHERE (mutant == 10) /* a late copy begins in the middle of a volume */
#define NEVER_AGAIN (mutant == 11) /* what was damaged is not asked for */
#define OLD_ERAS (mutant == 13 || EMPTY_ERAS) /* what is lacking keeps its eras, though newer ones are told */
#define CUT_FIRST (mutant == 14)   /* a cut does not wait for the first segment that is to stand there */
#define OLD_FACTS (mutant == 15)   /* what was heard of a peer serves when it is back with another disk */
#define LENGTH_ONLY (mutant == 16) /* who ends where the writer began is in step, whoever wrote its last chunk */
#define ROWS_LATE (mutant == 12)   /* a cut removes files, then what is known of them */

#define GENERATIONS 8
#define VOL(p) ((p) / V)
#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))

typedef origin_t {
        bit up;
        byte fence;
        byte end;
        byte who[PLACES];
        byte era[PLACES];
        bit closed[VOLUMES];
        bit torn[VOLUMES];
        byte floor;
        bit unlinked; /* UNLINK_FIRST: but not noted */

        bit look;  /* something changed since it compared with its peer */
        byte copy; /* 0: nothing; 1: has heard what its peer has; 2: cuts; 3: copies */
        byte cut_at;
        byte t_fence, t_end; /* as heard */
        byte t_era[PLACES];
        bit t_has[PLACES];

        byte fill; /* 1 + the volume that is brought */
        byte want[V]; /* its checksum, as heard */
        byte got[V];
        bit half; /* of it was read */
};
origin_t O[2];

/* the writer */
byte gen, begin, stored;
byte begin_gen; /* whose the chunk before its first one is */
byte old_gen, old_begin; /* the one before */
bit in[2], tried[2];
byte next[2];

byte ack[PLACES];     /* whose chunk was called stored; 0: none, or what excuses its loss has happened */
bit gone0[VOLUMES], gone1[VOLUMES]; /* what retention unlinked there */
bit lost[VOLUMES];    /* damage took it where the other origin had no whole copy */
byte both;            /* places that both origins have reached, and no cut, damage or lost disk took back */
bit calm;

hidden byte number_begun, number_late;
hidden byte i, j, a, b, lack, cut_at, part, hole, which;
hidden byte oe[PLACES], oh[PLACES], oend;

#define PEERS (O[0].up && O[1].up)
#define WRITTEN(o) (O[o].end > 0 -> O[o].era[O[o].end - 1] : 0)
#define IN_STEP(o) (in[o] && next[o] >= stored)

inline changed()
{
        O[0].look = 1;
        O[1].look = 1;
        tried[0] = 0;
        tried[1] = 0
}

/* ---- promises ------------------------------------------------------------------------------------------------------ */

/* A newer writer goes on at this origin from before the place, or from behind another one's chunk there. */
#define REPLACED(o, p) (O[o].end > 0 && O[o].era[O[o].end - 1] > ack[p] && ((p) >= O[o].end || O[o].era[p] != ack[p]))

/* What was called stored is somewhere, unless retention took it or a newer writer's track goes without it. */
inline look_for_lost()
{
        i = 0;
        do
        :: i < PLACES ->
                if
                :: VOL(i) < O[0].floor || VOL(i) < O[1].floor || REPLACED(0, i) || REPLACED(1, i) || UNLINK_FIRST -> ack[i] = 0
                :: else -> assert(!ack[i] || O[0].who[i] == ack[i] || O[1].who[i] == ack[i])
                fi;
                i++
        :: else -> break
        od
}

/* A closed volume is whole, and of two with the same eras the bytes are the same. */
inline look_at_closed()
{
        i = 0;
        do
        :: i < PLACES ->
                assert(!O[0].closed[VOL(i)] || O[0].who[i]);
                assert(!O[1].closed[VOL(i)] || O[1].who[i]);
                if
                :: O[0].closed[VOL(i)] && O[1].closed[VOL(i)] && O[0].era[i] == O[1].era[i] ->
                        assert(O[0].who[i] == O[1].who[i])
                :: else
                fi;
                i++
        :: else -> break
        od
}

/* Eras tell what stands in a place. */
inline look_at_eras(o_)
{
        i = 0;
        do
        :: i < PLACES ->
                assert(!O[o_].who[i] || O[o_].who[i] == O[o_].era[i]);
                i++
        :: else -> break
        od
}

inline note_both()
{
        both = MAX(both, MIN(O[0].end, O[1].end))
}

/* ---- the log ------------------------------------------------------------------------------------------------------- */

inline stop_fill(o_)
{
        O[(o_)].fill = 0;
        O[(o_)].half = 0;
        j = 0;
        do
        :: j < V ->
                O[(o_)].want[j] = 0;
                O[(o_)].got[j] = 0;
                j++
        :: else -> break
        od
}

inline stop_copy(o_)
{
        O[(o_)].copy = 0;
        O[(o_)].t_fence = 0;
        O[(o_)].t_end = 0;
        O[(o_)].cut_at = 0;
        j = 0;
        do
        :: j < PLACES ->
                O[(o_)].t_era[j] = 0;
                O[(o_)].t_has[j] = 0;
                j++
        :: else -> break
        od
}

inline close_before(o_, v_)
{
        j = 0;
        do
        :: j < PLACES ->
                if
                :: VOL(j) < v_ && O[o_].who[j] && !O[o_].torn[VOL(j)] -> O[o_].closed[VOL(j)] = 1
                :: else
                fi;
                j++
        :: else -> break
        od
}

inline append(o_, p_, g_)
{
        assert(p_ == O[o_].end && !O[o_].who[p_]); /* in order, over nothing */
        assert(!(o_ == 0 -> gone0[VOL(p_)] : gone1[VOL(p_)])); /* what retention removed stays away */
        O[o_].who[p_] = g_;
        j = p_ + 1;
        do
        :: j < PLACES -> O[o_].era[j] = (O[o_].copy == 3 -> O[o_].era[j] : 0); j++
        :: else -> break
        od;
        O[o_].era[p_] = g_;
        O[o_].end = p_ + 1;
        note_both();
        close_before(o_, VOL(p_ + 1)); /* the last one when the session ends */
        printf("origin %d: place %d is of generation %d\n", o_, p_, g_);
        look_at_closed();
        look_at_eras(o_);
        changed()
}

/* What stands there goes, and with it what is known of the volumes from there on. */
inline drop_from(o_, p_)
{
        j = p_;
        do
        :: j < PLACES ->
                O[o_].who[j] = 0;
                O[o_].closed[VOL(j)] = 0;
                O[o_].torn[VOL(j)] = ((j % V == 0 || j != p_) -> 0 : O[o_].torn[VOL(j)]);
                j++
        :: else -> break
        od
}

inline drop_volume(o_, v_)
{
        j = (v_) * V;
        do
        :: j < (v_) * V + V ->
                O[o_].who[j] = 0;
                j++
        :: else -> break
        od;
        O[o_].closed[v_] = 0;
        O[o_].torn[v_] = 0
}

/* After damage: a track whose last volume is away ends where that began. */
inline end_at(o_, p_)
{
        both = MIN(both, p_);
        O[o_].end = p_;
        j = p_;
        do
        :: j < PLACES -> O[o_].era[j] = 0; j++
        :: else -> break
        od
}

inline end_is_last(o_)
{
        if
        :: END_IS_LAST ->
                do
                :: O[o_].end > 0 && !O[o_].who[O[o_].end - 1] -> O[o_].end--
                :: else -> break
                od;
                j = O[o_].end;
                do
                :: j < PLACES -> O[o_].era[j] = 0; j++
                :: else -> break
                od
        :: else
        fi
}

/* ---- compare ------------------------------------------------------------------------------------------------------- */

inline other_is_peer(o_)
{
        j = 0;
        do
        :: j < PLACES ->
                oe[j] = (j < O[1 - o_].end -> O[1 - o_].era[j] : 0);
                oh[j] = ((O[1 - o_].who[j] && VOL(j) >= O[1 - o_].floor) -> 1 : 0);
                j++
        :: else -> break
        od;
        oend = O[1 - o_].end
}

inline other_is_heard(o_)
{
        j = 0;
        do
        :: j < PLACES ->
                oe[j] = O[o_].t_era[j];
                oh[j] = O[o_].t_has[j];
                j++
        :: else -> break
        od;
        oend = O[o_].t_end
}

/* lack 0: nothing, 1: its end, 2: all from cut_at on, 3: the newer eras of what is not here. What a peer lacks itself cannot
 * come from there, so it is no reason to cut: where eras part in such a volume the older bytes stay. */
inline compare(o_)
{
        lack = 0;
        part = PLACES;   /* where eras part, */
        cut_at = PLACES; /* and both have something there; */
        hole = PLACES;   /* where this one has nothing, and an older era */
        i = 0;
        do
        :: i < O[o_].end && i < oend ->
                if
                :: O[o_].era[i] != oe[i] ->
                        part = (part == PLACES -> i : part);
                        hole = ((!O[o_].who[i] && O[o_].era[i] < oe[i]) -> i : hole);
                        if
                        :: cut_at == PLACES && (CUT_BLIND || (O[o_].who[i] && oh[i])) -> cut_at = i
                        :: else
                        fi
                :: else
                fi;
                i++
        :: else -> break
        od;
        if
        :: part == PLACES -> lack = (oend > O[o_].end -> 1 : 0)
        :: else ->
                a = O[o_].era[O[o_].end - 1];
                b = oe[oend - 1];
                if
                :: a == b && cut_at < PLACES ->
                        a = O[o_].era[cut_at];
                        b = oe[cut_at]
                :: else
                fi;
                if
                :: a < b && cut_at < PLACES ->
                        lack = 2;
                        cut_at = cut_at - cut_at % SEGMENT
                :: a <= b && cut_at == PLACES -> lack = (oend > O[o_].end -> 1 : ((hole < PLACES && !OLD_ERAS) -> 3 : 0))
                :: else
                fi
        fi
}

inline take_newer_eras(o_)
{
        j = 0;
        do
        :: j < O[o_].end && j < O[o_].t_end ->
                if
                :: !O[o_].who[j] && O[o_].era[j] < O[o_].t_era[j] && !OLD_ERAS -> O[o_].era[j] = O[o_].t_era[j]
                :: else
                fi;
                j++
        :: else -> break
        od
}

inline take_eras(o_, from_)
{
        j = from_;
        do
        :: j < PLACES ->
                O[o_].era[j] = ((O[o_].who[j] && j < O[o_].end) -> O[o_].era[j] : O[o_].t_era[j]);
                j++
        :: else -> break
        od
}

/* Where it goes on: at its own end, or, when the peer is in a later volume, where that begins. One save. */
inline go_on(o_)
{
        take_newer_eras(o_);
        b = O[o_].end;
        if
        :: BEGIN_ANYWHERE && VOL(O[o_].t_end - 1) > VOL(b) -> a = O[o_].t_end - 1
        :: !BEGIN_ANYWHERE && VOL(O[o_].t_end - 1) > VOL(b) -> a = VOL(O[o_].t_end - 1) * V
        :: else -> a = b
        fi;
        if
        :: a < O[o_].floor * V && !NO_CUT_LOWERS -> assert(false)
        :: else
        fi;
        if
        :: a > b ->
                if
                :: b % V && !NOT_TORN && O[o_].who[b - 1] -> O[o_].torn[VOL(b)] = 1
                :: else
                fi;
                printf("origin %d: goes on at %d, from %d\n", o_, a, b);
                O[o_].end = a;
                note_both()
        :: else
        fi;
        if
        :: EMPTY_ERAS -> take_eras(o_, a)
        :: else -> take_eras(o_, b)
        fi;
        O[o_].copy = 3
}

#define LACKS(o, v) \
        ((v) >= O[o].floor && (v) * V + V <= O[o].end && !O[o].closed[v] && O[1 - o].closed[v] && (v) >= O[1 - o].floor && \
         (NO_ERAS || (O[o].era[(v) * V] == O[1 - o].era[(v) * V] && O[o].era[(v) * V + 1] == O[1 - o].era[(v) * V + 1])))

#if VOLUMES > 3
#define LACKS_FOURTH(o) LACKS(o, 3)
#else
#define LACKS_FOURTH(o) false
#endif

inline newest_lacking(o_)
{
        a = 0; /* 1 + it */
        i = 0;
        do
        :: i < VOLUMES ->
                if
                :: LACKS(o_, i) -> a = i + 1
                :: else
                fi;
                i++
        :: else -> break
        od
}

proctype origin(byte o)
{
        do
        :: d_step { O[o].up && o_crashes > 0 ->
                o_crashes--;
                O[o].up = 0;
                O[o].unlinked = 0;
                stop_copy(o);
                stop_fill(o);
                end_is_last(o);
                printf("origin %d: dies\n", o);
                changed() }
        :: d_step { !O[o].up ->
                O[o].up = 1;
                printf("origin %d: is up again\n", o);
                if
                :: !OLD_FACTS -> /* what its peer heard of it was another life's */
                        stop_copy(1 - o);
                        stop_fill(1 - o)
                :: else
                fi;
                changed() }

        /* catching up */
        :: d_step { PEERS && O[o].copy == 0 && O[o].look ->
                other_is_peer(o);
                compare(o);
                if
                :: lack > 1 || (lack && !IN_STEP(o)) || O[1 - o].fence > O[o].fence -> /* what a writer brings is not copied */
                        O[o].copy = 1;
                        O[o].t_fence = O[1 - o].fence;
                        O[o].t_end = oend;
                        i = 0;
                        do
                        :: i < PLACES ->
                                O[o].t_era[i] = oe[i];
                                O[o].t_has[i] = oh[i];
                                i++
                        :: else -> break
                        od;
                        printf("origin %d: hears that its peer has %d, has %d itself\n", o, oend, O[o].end)
                :: else -> O[o].look = 0
                fi;
                skip }
        :: d_step { O[o].up && O[o].copy == 1 ->
                if
                :: O[o].t_fence > O[o].fence ->
                        O[o].fence = O[o].t_fence;
                        changed()
                :: else
                fi;
                other_is_heard(o);
                compare(o);
                if
                :: lack == 2 -> /* saves that it knows of no volumes from there on; when it dies now, they are found again */
                        O[o].copy = 2;
                        O[o].cut_at = cut_at;
                        if
                        :: ROWS_LATE -> drop_from(o, cut_at)
                        :: else
                        fi
                :: lack == 1 -> go_on(o)
                :: lack == 3 ->
                        take_newer_eras(o);
                        stop_copy(o);
                        changed()
                :: else -> stop_copy(o)
                fi;
                skip }
        /* The segment where they part is fetched first, so that what both have of it is in the file again with the cut. */
        :: d_step { O[o].up && O[o].copy == 2 && !CUT_FIRST && (!O[1 - o].up || !O[1 - o].who[O[o].cut_at]) ->
                stop_copy(o);
                changed() }
        :: d_step { O[o].up && O[o].copy == 2 && (CUT_FIRST || (O[1 - o].up && O[1 - o].who[O[o].cut_at])) ->
                a = O[o].cut_at;
                do
                :: !CUT_FIRST && a < PLACES && O[o].who[a] && O[o].era[a] == O[o].t_era[a] &&
                   O[1 - o].who[a] == O[o].who[a] -> a++
                :: else -> break
                od;
                O[o].cut_at = a;
                printf("origin %d: cuts back to %d\n", o, O[o].cut_at);
                drop_from(o, O[o].cut_at);
                end_at(o, O[o].cut_at);
                end_is_last(o);
                look_for_lost();
                if
                :: VOL(O[o].cut_at) < O[o].floor && !NO_CUT_LOWERS ->
                        O[o].floor = VOL(O[o].cut_at);
                        i = O[o].floor;
                        do
                        :: i < VOLUMES ->
                                if
                                :: o == 0 -> gone0[i] = 0
                                :: else -> gone1[i] = 0
                                fi;
                                i++
                        :: else -> break
                        od
                :: else
                fi;
                if
                :: O[o].t_end > O[o].end -> go_on(o)
                :: else -> stop_copy(o)
                fi;
                changed() }
        :: d_step { O[o].up && O[o].copy == 3 ->
                a = O[o].end;
                if
                :: !O[1 - o].up || a >= O[o].t_end || !O[1 - o].who[a] || VOL(a) < O[1 - o].floor -> stop_copy(o)
                :: else ->
                        assert(O[1 - o].who[a] == O[o].t_era[a]); /* it is whose its peer said */
                        append(o, a, O[1 - o].who[a])
                fi;
                skip }

        /* filling in */
        :: d_step { PEERS && !O[o].fill &&
                    (LACKS(o, 0) || LACKS(o, 1) || LACKS(o, 2) || LACKS_FOURTH(o)) && !NEVER_AGAIN ->
                newest_lacking(o);
                printf("origin %d: brings volume %d\n", o, a - 1);
                O[o].fill = a;
                O[o].want[0] = O[1 - o].who[(a - 1) * V];
                O[o].want[1] = O[1 - o].who[(a - 1) * V + 1] }
        :: d_step { O[o].up && O[o].fill && !O[o].half ->
                a = (O[o].fill - 1) * V;
                if
                :: !O[1 - o].up || !O[1 - o].who[a] -> stop_fill(o)
                :: else ->
                        O[o].got[0] = O[1 - o].who[a];
                        O[o].half = 1;
                        if
                        :: rots > 0 -> /* it is read wrong */
                                rots--;
                                O[o].got[0] = 255
                        :: else
                        fi
                fi;
                skip }
        :: d_step { O[o].up && O[o].fill && O[o].half && O[o].copy != 2 ->
                O[o].got[1] = O[1 - o].who[(O[o].fill - 1) * V + 1];
                a = O[o].fill - 1;
                if
                :: O[1 - o].up && O[o].got[1] && !O[o].closed[a] &&
                   (NO_CRC || (O[o].got[0] == O[o].want[0] && O[o].got[1] == O[o].want[1])) &&
                   (NO_FLOOR || a >= O[o].floor) && a * V + V <= O[o].end &&
                   (NO_ERAS || (O[o].era[a * V] == O[o].want[0] && O[o].era[a * V + 1] == O[o].want[1])) ->
                        printf("origin %d: volume %d is here\n", o, a);
                        assert(!(o == 0 -> gone0[a] : gone1[a]));
                        assert(a * V >= O[o].floor * V);
                        assert(!O[o].who[a * V] || O[o].who[a * V] == O[o].got[0]); /* overwrites nothing */
                        assert(!O[o].who[a * V + 1] || O[o].who[a * V + 1] == O[o].got[1]);
                        O[o].who[a * V] = O[o].got[0];
                        O[o].who[a * V + 1] = O[o].got[1];
                        O[o].closed[a] = 1;
                        O[o].torn[a] = 0;
                        look_at_closed();
                        look_at_eras(o);
                        changed()
                :: else
                fi;
                stop_fill(o); skip }

        /* retention: of a live session too, but never the volume that is open */
        :: d_step { O[o].up && retains > 0 && O[o].floor < VOL(O[o].end) && O[o].floor < VOLUMES - 1 && !O[o].unlinked &&
                    O[o].copy != 2 ->
                retains--;
                a = O[o].floor;
                printf("origin %d: volume %d is not kept\n", o, a);
                if
                :: UNLINK_FIRST ->
                        drop_volume(o, a);
                        if
                        :: o == 0 -> gone0[a] = 1
                        :: else -> gone1[a] = 1
                        fi;
                        O[o].unlinked = 1
                :: else -> O[o].floor = a + 1
                fi;
                changed() }
        :: d_step { O[o].up && O[o].unlinked ->
                O[o].unlinked = 0;
                O[o].floor++ }
        :: d_step { O[o].up && O[o].floor > 0 && O[o].copy != 2 && (o == 0 -> !gone0[O[o].floor - 1] : !gone1[O[o].floor - 1]) ->
                drop_volume(o, O[o].floor - 1);
                printf("origin %d: volume %d is unlinked\n", o, O[o].floor - 1);
                if
                :: o == 0 -> gone0[O[o].floor - 1] = 1
                :: else -> gone1[O[o].floor - 1] = 1
                fi;
                look_for_lost();
                changed() }
        od
}

/* ---- the disks ----------------------------------------------------------------------------------------------------- */

/* What only this origin had of the volume is lost, and nobody can help it. */
inline excuse(o_, v_)
{
        i = (v_) * V;
        do
        :: i < (v_) * V + V ->
                if
                :: O[1 - o_].who[i] != ack[i] -> ack[i] = 0
                :: else
                fi;
                if
                :: !O[1 - o_].closed[v_] || O[1 - o_].who[i] < O[o_].era[i] || v_ < O[1 - o_].floor -> lost[v_] = 1
                :: else
                fi;
                i++
        :: else -> break
        od
}

inline damage(o_, v_)
{
        damages--;
        printf("origin %d: volume %d is damaged\n", o_, v_);
        excuse(o_, v_);
        drop_volume(o_, v_);
        if
        :: VOL(O[o_].end) == v_ -> end_at(o_, (v_) * V)
        :: else
        fi;
        look_for_lost();
        changed()
}

#define CAN_DAMAGE(o, v) (damages > 0 && O[o].copy != 2 && (O[o].who[(v) * V] || O[o].who[(v) * V + 1]) && \
                          ((v) < VOL(O[o].end) || (!O[o].up && !in[o])))

proctype disk(byte o)
{
        do
        :: d_step { CAN_DAMAGE(o, 0) -> damage(o, 0); skip }
        :: d_step { CAN_DAMAGE(o, 1) -> damage(o, 1); skip }
        :: d_step { CAN_DAMAGE(o, 2) -> damage(o, 2); skip }
#if VOLUMES > 3
        :: d_step { CAN_DAMAGE(o, 3) -> damage(o, 3); skip }
#endif
        :: d_step { disks > 0 && !O[o].up && !in[o] && O[1 - o].up ->
                disks--;
                printf("origin %d: comes back with an empty disk\n", o);
                which = 0;
                do
                :: which < VOLUMES ->
                        excuse(o, which);
                        drop_volume(o, which);
                        if
                        :: o == 0 -> gone0[which] = 0
                        :: else -> gone1[which] = 0
                        fi;
                        which++
                :: else -> break
                od;
                end_at(o, 0);
                O[o].floor = 0;
                O[o].fence = 0;
                which = 0;
                look_for_lost();
                changed() }
        od
}

/* ---- the writer ---------------------------------------------------------------------------------------------------- */

inline claim_at(o_)
{
        if
        :: which == 2 || which == o_ -> O[o_].fence = gen
        :: else
        fi
}

/* which: the origin that answers; 2: both */
inline fail_over()
{
        assert(gen + 1 < GENERATIONS);
        old_gen = gen;
        old_begin = begin;
        gen++;
        claim_at(0);
        claim_at(1);
        a = which;
        if
        :: which == 2 ->
                a = (WRITTEN(1) != WRITTEN(0) -> WRITTEN(1) > WRITTEN(0) : O[1].end > O[0].end)
        :: else
        fi;
        assert(O[a].end >= both); /* nobody goes on before what both had */
        in[a] = 1;
        next[a] = O[a].end;
        in[1 - a] = 0;
        next[1 - a] = 0;
        begin = O[a].end;
        begin_gen = WRITTEN(a);
        stored = begin;
        printf("writer: generation %d goes on at %d, with origin %d\n", gen, begin, a);
        changed()
}

inline note_stored()
{
        b = PLACES;
        i = 0;
        do
        :: i < 2 ->
                if
                :: IN_STEP(i) && next[i] < b -> b = next[i]
                :: else
                fi;
                i++
        :: else -> break
        od;
        do
        :: stored < b ->
                which = (IN_STEP(0) -> 0 : 1);
                ack[stored] = (O[which].who[stored] -> O[which].who[stored] : O[1 - which].who[stored]);
                assert(ack[stored] || VOL(stored) < O[0].floor || VOL(stored) < O[1].floor || lost[VOL(stored)]);
                which = 0;
                stored++
        :: else -> break
        od;
        look_for_lost()
}

inline go_out(o_)
{
        printf("writer: origin %d is out of step\n", o_);
        in[o_] = 0;
        next[o_] = 0;
        changed();
        note_stored()
}

#define STUCK(o) (in[o] && O[o].up && next[o] > O[o].end)

inline writer_to(o_)
{
        if
        :: next[o_] == O[o_].end ->
                append(o_, next[o_], gen);
                if /* what is being copied was another's */
                :: O[o_].copy == 3 && O[o_].t_era[next[o_]] != gen -> stop_copy(o_)
                :: else
                fi
        :: else -> skip
        fi;
        next[o_]++;
        note_stored()
}

inline join(o_)
{
        O[o_].fence = gen;
        lack = 0;
        if
        :: PEERS ->
                other_is_peer(o_);
                compare(o_)
        :: else
        fi;
        if
        :: lack == 1 || lack == 2 || O[o_].end < begin || (WRITTEN(o_) < gen && O[o_].end > begin) ||
           (O[o_].end == begin && WRITTEN(o_) != begin_gen && !LENGTH_ONLY) -> tried[o_] = 1
        :: else ->
                in[o_] = 1;
                next[o_] = O[o_].end;
                printf("writer: origin %d is joined at %d\n", o_, next[o_])
        fi
}

proctype writer()
{
        do
        :: d_step { PEERS && (gen == 0 || t_crashes > 0) ->
                t_crashes = (gen -> t_crashes - 1 : t_crashes);
                which = 2;
                fail_over();
                which = 0 }
        :: d_step { O[0].up && (gen == 0 || t_crashes > 0) && (mishaps > 0 || !O[1].up) ->
                t_crashes = (gen -> t_crashes - 1 : t_crashes);
                mishaps = (O[1].up -> mishaps - 1 : mishaps);
                which = 0;
                fail_over() }
        :: d_step { O[1].up && (gen == 0 || t_crashes > 0) && (mishaps > 0 || !O[0].up) ->
                t_crashes = (gen -> t_crashes - 1 : t_crashes);
                mishaps = (O[0].up -> mishaps - 1 : mishaps);
                which = 1;
                fail_over();
                which = 0 }
        :: d_step { in[0] && !IN_STEP(1) && STUCK(0) -> /* it lost what it had, and nobody else has it */
                which = (PEERS -> 2 : 0);
                fail_over();
                which = 0 }
        :: d_step { in[1] && !IN_STEP(0) && STUCK(1) ->
                which = (PEERS -> 2 : 1);
                fail_over();
                which = 0 }
        :: d_step { in[0] && O[0].up && O[0].copy != 2 && next[0] < PLACES && next[0] <= O[0].end -> writer_to(0); skip }
        :: d_step { in[1] && O[1].up && O[1].copy != 2 && next[1] < PLACES && next[1] <= O[1].end -> writer_to(1); skip }
        :: d_step { in[0] && (!O[0].up || STUCK(0)) && IN_STEP(1) -> go_out(0); skip }
        :: d_step { in[1] && (!O[1].up || STUCK(1)) && IN_STEP(0) -> go_out(1); skip }
        :: d_step { gen && !in[0] && O[0].up && !tried[0] && O[0].copy != 2 && O[0].fence <= gen -> join(0); skip }
        :: d_step { gen && !in[1] && O[1].up && !tried[1] && O[1].copy != 2 && O[1].fence <= gen -> join(1); skip }
        :: d_step { splits > 0 && !in[0] && O[0].up && O[0].copy == 0 && old_gen && O[0].fence == old_gen &&
                    O[0].end >= old_begin && O[0].end < PLACES ->
                splits--;
                printf("writer: an older one goes on\n");
                which = O[0].end;
                append(0, which, O[0].fence);
                which = 0; skip }
        :: d_step { splits > 0 && !in[1] && O[1].up && O[1].copy == 0 && old_gen && O[1].fence == old_gen &&
                    O[1].end >= old_begin && O[1].end < PLACES ->
                splits--;
                printf("writer: an older one goes on\n");
                which = O[1].end;
                append(1, which, O[1].fence);
                which = 0; skip }
        :: d_step { !calm ->
                calm = 1;
                t_crashes = 0; mishaps = 0; splits = 0; o_crashes = 0; disks = 0; damages = 0; rots = 0; retains = 0 }
        od
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

proctype all_is_the_same()
{
        atomic { timeout ->
                assert(calm);
                assert(O[0].end == PLACES && O[1].end == PLACES);
                i = 0;
                do
                :: i < PLACES ->
                        if
                        :: VOL(i) >= O[0].floor && VOL(i) >= O[1].floor && !lost[VOL(i)] ->
                                assert(O[0].who[i] && O[0].who[i] == O[1].who[i]);
                                assert(O[0].closed[VOL(i)] && O[1].closed[VOL(i)])
                        :: else
                        fi;
                        i++
                :: else -> break
                od;
                skip }
}

/* A broadcast that has gone on for a while; at both origins, or one of them lost its disk. */
inline begun(places_, late_)
{
        if
        :: places_ ->
                gen = 1;
                O[0].fence = 1;
                in[0] = 1;
                next[0] = places_;
                O[0].end = places_;
                stored = places_;
                begin = places_;
                begin_gen = 1;
                i = 0;
                do
                :: i < places_ ->
                        O[0].who[i] = 1;
                        O[0].era[i] = 1;
                        O[0].closed[VOL(i)] = (VOL(i) < VOL(places_));
                        ack[i] = 1;
                        if
                        :: !late_ ->
                                O[1].who[i] = 1;
                                O[1].era[i] = 1;
                                O[1].closed[VOL(i)] = O[0].closed[VOL(i)]
                        :: else
                        fi;
                        i++
                :: else -> break
                od;
                if
                :: !late_ ->
                        O[1].fence = 1;
                        in[1] = 1;
                        next[1] = places_;
                        O[1].end = places_;
                        both = places_
                :: else
                fi;
                changed()
        :: else
        fi
}

init
{
        atomic {
                c_code {
                        number_begun = number("BEGUN");
                        number_late = number("LATE");
                        now.mutant = number("MUTANT");
                        now.t_crashes = number("T_CRASHES");
                        now.mishaps = number("MISHAPS");
                        now.splits = number("SPLITS");
                        now.o_crashes = number("O_CRASHES");
                        now.disks = number("DISKS");
                        now.damages = number("DAMAGES");
                        now.rots = number("ROTS");
                        now.retains = number("RETAINS");
                };
                O[0].up = 1;
                O[1].up = 1;
                begun(number_begun, number_late);
                run origin(0);
                run origin(1);
                run disk(0);
                run disk(1);
                run writer();
                run all_is_the_same()
        }
}

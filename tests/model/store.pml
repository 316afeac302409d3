/* store.pml - claim, fence, put, repair and fail-over of one track, as ARCHITECTURE.md ("When something dies") and
 * proto/store.h have them. README.md says what is modelled, what is left out, and what holds under which faults.
 *
 * A place is one chunk. What stands in it is its writer, as a generation and a node; two writers' bytes are never the
 * same. Nothing takes time: whatever may happen next may happen at any moment, so a transcoder that is frozen is one that
 * makes no step for a while. Each fault costs one of its budget; when `calm` is set no more come, and when then nothing
 * can happen any more all has to be stored everywhere. */

#ifndef PLACES
#define PLACES 3
#endif
#ifndef SEGMENT
#define SEGMENT 2 /* places a segment: repair cuts at the beginning of one */
#endif

/* What may happen, how often, and which rule is broken, is in the environment: one program serves for all. */
c_decl {
        \#include <stdlib.h>
        static int number(const char *name)
        {
                const char *text = getenv(name);
                return text ? atoi(text) : 0;
        }
};
byte t_crashes, t_left, o_crashes, o_freezes, mishaps, cuts, slow; /* how often; README.md says what they are */
bit strict;     /* no place may ever be another writer's at any origin */
bit quorum_one; /* stored is what any owner has */

byte mutant; /* the rule that is broken */
#define NO_FENCE (mutant == 1)        /* an origin takes every writer's PUT */
#define ANY_JOIN (mutant == 2)        /* an origin takes every writer's JOIN */
#define NO_ERAS (mutant == 3)         /* origins compare lengths only */
#define EARLY_TRIM (mutant == 4)      /* the proxy lets go of what was sent */
#define NO_ARBITER (mutant == 5)      /* OPEN does not tell the newest generation */
#define FENCED_GOES_ON (mutant == 6)  /* a writer fenced where it wanted to lead takes the other owner instead */
#define OLD_CLAIM (mutant == 7)       /* a claim for an OPEN long ago serves for a later one too */

#define GENERATIONS 12 /* more than any run needs */
#define NOBODY 2
#define WRITER(g, t) ((g) * 2 + (t) + 1)
#define GEN(w) (((w) - 1) / 2)
#define NODE(w) (((w) - 1) % 2)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define MIN(a, b) ((a) < (b) -> (a) : (b))

#define DEAD 0
#define FROZEN 1
#define UP 2

typedef origin_t {
        byte state;
        bit claimed; /* since it started */
        byte gen;
        bit node;
        byte end;
        byte who[PLACES];
        bit look;     /* something changed since it compared with its peer */
        byte copying; /* 0: nothing; 1: has heard what its peer has; 2: copies that */
        byte their_gen;
        bit their_node;
        byte their_end;
        byte theirs[PLACES];
};
origin_t O[2];

#define IDLE 0
#define CLAIMING 1
#define RAISING 2
#define LIVE 3

#define NOT_ASKED 0
#define TOOK_IT 1
#define REFUSED 2

#define OUT 0
#define JOINING 1
#define IN_STEP 2

typedef owner_t {
        byte answer; /* to CLAIM */
        byte gen;
        byte end;
        byte written; /* generation of the last chunk there */
        byte state;
        bit join;  /* in step, but has to be joined before it takes anything */
        bit tried; /* was joined without success, and nothing has changed since */
        byte next; /* place to PUT next; what lies before is stored there */
};
typedef transcoder_t {
        byte state;
        byte above; /* the generation of OPEN */
        byte gen;
        byte leader;
        byte begin; /* the place it goes on at */
        bit fed;    /* has frames, */
        byte from;  /* beginning with this one */
        byte stored;
        owner_t own[2];
};
transcoder_t T[2];

/* the proxy */
byte has = NOBODY; /* the transcoder it has open */
bit opened;
byte gen;
byte head; /* the first frame that it still has: all before were called stored */

/* a message that comes late or a second time */
byte late_type;
byte late_t, late_o, late_gen, late_place;

byte seen[PLACES]; /* whose bytes an edge may have read in this place */
byte cut_t = NOBODY, cut_o;
bit calm;

#define REACHES(t, o) (O[o].state == UP && !(cut_t == (t) && cut_o == (o)))
#define PEERS (O[0].state == UP && O[1].state == UP)

byte which; /* the origin that this step is about */

/* What a step computes with. No part of the state, so nothing of it may outlive a choice. */
hidden byte arrived, answered;
hidden byte r, i, part, a, b, lack, cut_at, other[PLACES], other_end;

#define OK 0
#define NO_ANSWER 1
#define NOT_FOUND 2
#define FENCED 3
#define ORDER 4
#define WAIT 5

#define CLAIM 1
#define JOIN 2
#define PUT 3

inline origin_changed()
{
        O[0].look = 1;
        O[1].look = 1;
        T[0].own[0].tried = 0;
        T[0].own[1].tried = 0;
        T[1].own[0].tried = 0;
        T[1].own[1].tried = 0
}

/* ---- origin ----------------------------------------------------------------------------------------------------- */

inline append(o_, place_, by_)
{
        assert(place_ == O[o_].end); /* in order, without a gap */
        assert(!strict || seen[place_] == 0 || seen[place_] == by_); /* never two writers' bytes in one place_ */
        seen[place_] = by_;
        printf("origin %d: place %d is of generation %d by transcoder %d\n", o_, place_, GEN(by_), NODE(by_));
        O[o_].who[place_] = by_;
        O[o_].end = place_ + 1;
        origin_changed()
}

inline stop_copying(o_)
{
        O[o_].copying = 0;
        O[o_].their_gen = 0;
        O[o_].their_node = 0;
        O[o_].their_end = 0;
        i = 0;
        do
        :: i < PLACES ->
                O[o_].theirs[i] = 0;
                i++
        :: else -> break
        od
}

inline other_is_peer(o_)
{
        i = 0;
        do
        :: i < PLACES ->
                other[i] = O[1 - o_].who[i];
                i++
        :: else -> break
        od;
        other_end = O[1 - o_].end
}

inline other_is_heard(o_)
{
        i = 0;
        do
        :: i < PLACES ->
                other[i] = O[o_].theirs[i];
                i++
        :: else -> break
        od;
        other_end = O[o_].their_end
}

/* compare.h: what o lacks of the other copy. lack 0: nothing, 1: its end, 2: all from cut_at on. */
inline compare(o_)
{
        lack = 0;
        part = PLACES;
        i = 0;
        do
        :: i < O[o_].end && i < other_end && part == PLACES ->
                if
                :: O[o_].who[i] != other[i] -> part = i
                :: else
                fi;
                i++
        :: else -> break
        od;
        if
        :: part == PLACES || NO_ERAS -> lack = (other_end > O[o_].end -> 1 : 0)
        :: else ->
                a = GEN(O[o_].who[O[o_].end - 1]);
                b = GEN(other[other_end - 1]);
                if
                :: a == b ->
                        a = GEN(O[o_].who[part]);
                        b = GEN(other[part])
                :: else
                fi;
                if
                :: a == b ->
                        a = O[o_].end;
                        b = other_end
                :: else
                fi;
                if
                :: a == b ->
                        a = NODE(O[o_].who[part]);
                        b = NODE(other[part])
                :: else
                fi;
                if
                :: a < b ->
                        lack = 2;
                        cut_at = part - part % SEGMENT
                :: else
                fi
        fi
}

/* An acked chunk is somewhere. */
inline look_for_lost()
{
        i = 0;
        do
        :: i < head ->
                assert(!strict || O[0].end > i || O[1].end > i);
                i++
        :: else -> break
        od
}

inline do_claim(t_, o_, g_)
{
        if
        :: MAX(g_, O[o_].gen) < GENERATIONS ->
                O[o_].gen = MAX(g_, O[o_].gen) + 1;
                O[o_].node = t_;
                O[o_].claimed = 1;
                origin_changed();
                printf("origin %d: claimed by transcoder %d: generation %d, end %d\n", o_, t_, O[o_].gen, O[o_].end);
                r = OK
        :: else ->
                assert(ANY_JOIN); /* those fence each other for ever */
                r = NO_ANSWER
        fi
}

inline do_join(t_, o_, g_)
{
        if
        :: g_ > O[o_].gen || (g_ == O[o_].gen && t_ == O[o_].node) || ANY_JOIN ->
                if
                :: g_ != O[o_].gen || !O[o_].claimed -> origin_changed()
                :: else
                fi;
                O[o_].gen = g_;
                O[o_].node = t_;
                O[o_].claimed = 1;
                r = OK;
                if
                :: PEERS ->
                        other_is_peer(o_);
                        compare(o_);
                        if
                        :: O[1 - o_].gen > g_ && !ANY_JOIN ->
                                O[o_].gen = O[1 - o_].gen;
                                O[o_].node = O[1 - o_].node;
                                r = FENCED
                        :: (O[1 - o_].gen <= g_ || ANY_JOIN) && lack -> r = WAIT
                        :: else
                        fi
                :: else
                fi
        :: else -> r = FENCED
        fi;
        printf("origin %d: JOIN by transcoder %d with generation %d: answer %d, end %d\n", o_, t_, g_, r, O[o_].end)
}

inline do_put(t_, o_, g_, place_)
{
        if
        :: !O[o_].claimed -> r = NOT_FOUND
        :: O[o_].claimed && g_ != O[o_].gen && !NO_FENCE -> r = FENCED
        :: else ->
                if
                :: place_ < O[o_].end -> r = OK
                :: place_ == O[o_].end ->
                        assert(!strict || place_ >= T[t_].from); /* or slate stands where there was a frame */
                        append(o_, place_, WRITER(g_, t_));
                        if /* what is being copied was another's */
                        :: O[o_].copying == 2 && O[o_].theirs[place_] != O[o_].who[place_] -> stop_copying(o_)
                        :: else
                        fi;
                        r = OK
                :: place_ > O[o_].end ->
                        r = ORDER;
                        if
                        :: PEERS -> other_is_peer(o_); compare(o_)
                        :: else -> lack = 0
                        fi;
                        assert(lack) /* or there is a hole now */
                fi
        fi;
        printf("origin %d: PUT by transcoder %d with generation %d, place %d: answer %d\n", o_, t_, g_, place_, r)
}

#define LOSE_ANSWER r = (answered -> r : NO_ANSWER)
#define KEEP_LATE(type, t, o, g, place) \
        late_type = type; \
        late_t = t; \
        late_o = o; \
        late_gen = g; \
        late_place = place

/* What becomes of a request: whether it is done now, and whether its answer comes. */
inline fate(type_, t_, o_, g_, place_)
{
        if
        :: !REACHES(t_, o_) ->
                arrived = 0;
                answered = 0
        :: REACHES(t_, o_) ->
                arrived = 1;
                answered = 1
        :: REACHES(t_, o_) && mishaps > 0 -> /* lost */
                mishaps--;
                printf("network: a request of type %d by transcoder %d to origin %d is lost\n", type_, t_, o_);
                arrived = 0;
                answered = 0
        :: REACHES(t_, o_) && mishaps > 0 -> /* its answer is lost */
                mishaps--;
                printf("network: a request of type %d by transcoder %d to origin %d loses its answer\n", type_, t_, o_);
                arrived = 1;
                answered = 0
        :: REACHES(t_, o_) && mishaps > 0 && !late_type -> /* it comes later */
                mishaps--;
                printf("network: a request of type %d by transcoder %d to origin %d comes later\n", type_, t_, o_);
                KEEP_LATE(type_, t_, o_, g_, place_);
                arrived = 0;
                answered = 0
        :: REACHES(t_, o_) && mishaps > 0 && !late_type -> /* it comes now, and again later */
                mishaps--;
                printf("network: a request of type %d by transcoder %d to origin %d comes twice\n", type_, t_, o_);
                KEEP_LATE(type_, t_, o_, g_, place_);
                arrived = 1;
                answered = 1
        fi;
        r = NO_ANSWER
}

proctype origin(byte o)
{
        do
        :: d_step { O[o].state == UP && o_crashes > 0 ->
                o_crashes--;
                O[o].state = DEAD;
                O[o].claimed = 0;
                stop_copying(o);
                printf("origin %d: dies\n", o);
                origin_changed() }
        :: d_step { O[o].state == UP && o_freezes > 0 ->
                o_freezes--;
                O[o].state = FROZEN;
                printf("origin %d: freezes\n", o);
                origin_changed() }
        :: d_step { O[o].state != UP ->
                O[o].state = UP;
                printf("origin %d: is up again\n", o);
                origin_changed() }
        :: d_step { PEERS && O[o].copying == 0 && O[o].look ->
                other_is_peer(o); compare(o);
                if
                :: lack || O[1 - o].gen > O[o].gen ->
                        O[o].copying = 1;
                        O[o].their_gen = O[1 - o].gen;
                        O[o].their_node = O[1 - o].node;
                        printf("origin %d: hears that its peer has %d, has %d itself\n", o, O[1 - o].end, O[o].end);
                        O[o].their_end = O[1 - o].end;
                        i = 0;
                        do
                        :: i < O[o].their_end ->
                                O[o].theirs[i] = O[1 - o].who[i];
                                i++
                        :: else -> break
                        od
                :: else -> O[o].look = 0
                fi;
                skip }
        :: d_step { O[o].state == UP && O[o].copying == 1 -> /* by now the writer may have brought it */
                if
                :: O[o].their_gen > O[o].gen ->
                        O[o].gen = O[o].their_gen;
                        O[o].node = O[o].their_node;
                        origin_changed()
                :: else
                fi;
                other_is_heard(o); compare(o);
                if
                :: lack == 2 ->
                        O[o].end = cut_at;
                        printf("origin %d: cuts back to %d\n", o, cut_at);
                        i = cut_at;
                        do
                        :: i < PLACES ->
                                O[o].who[i] = 0;
                                i++
                        :: else -> break
                        od;
                        look_for_lost();
                        origin_changed();
                        O[o].copying = 2
                :: lack == 1 -> O[o].copying = 2
                :: else -> stop_copying(o)
                fi;
                skip }
        :: d_step { O[o].state == UP && O[o].copying == 2 ->
                a = O[o].end;
                if
                :: O[1 - o].state != UP || a >= O[o].their_end || a >= O[1 - o].end -> stop_copying(o)
                :: else ->
                        assert(O[1 - o].who[a] == O[o].theirs[a]); /* it is whose its peer said */
                        append(o, a, O[1 - o].who[a])
                fi;
                skip }
        od
}

/* ---- transcoder -------------------------------------------------------------------------------------------------- */

inline forget(t_)
{
        T[t_].state = IDLE;
        T[t_].above = 0;
        T[t_].gen = 0;
        T[t_].leader = 0;
        T[t_].begin = 0;
        T[t_].fed = 0;
        T[t_].from = 0;
        T[t_].stored = 0;
        i = 0;
        do
        :: i < 2 ->
                T[t_].own[i].answer = NOT_ASKED;
                T[t_].own[i].gen = 0;
                T[t_].own[i].end = 0;
                T[t_].own[i].written = 0;
                T[t_].own[i].state = OUT;
                T[t_].own[i].join = 0;
                T[t_].own[i].tried = 0;
                T[t_].own[i].next = 0;
                i++
        :: else -> break
        od
}

inline note_answer(t_, o_)
{
        T[t_].own[o_].gen = O[o_].gen;
        T[t_].own[o_].end = O[o_].end;
        if
        :: O[o_].end > 0 -> T[t_].own[o_].written = GEN(O[o_].who[O[o_].end - 1])
        :: else -> T[t_].own[o_].written = 0
        fi
}

#define MORE(x, y) \
        (x.written != y.written -> x.written > y.written : \
         (x.end != y.end -> x.end > y.end : x.gen > y.gen))

inline go_live(t_)
{
        b = T[t_].leader;
        T[t_].begin = T[t_].own[b].end;
        T[t_].stored = T[t_].begin;
        T[t_].state = LIVE;
        printf("transcoder %d: goes on at %d with generation %d, leader origin %d\n", t_, T[t_].begin, T[t_].gen, b);
        T[t_].own[b].state = IN_STEP;
        T[t_].own[b].next = T[t_].begin;
        i = 0;
        do
        :: i < 2 -> /* not needed any more */
                T[t_].own[i].answer = NOT_ASKED;
                T[t_].own[i].gen = 0;
                T[t_].own[i].end = 0;
                T[t_].own[i].written = 0;
                T[t_].own[i].tried = 0;
                i++
        :: else -> break
        od;
        T[t_].leader = 0
}

inline choose(t_)
{
        a = NOBODY;
        if
        :: T[t_].own[0].answer == TOOK_IT -> a = 0
        :: else
        fi;
        if
        :: T[t_].own[1].answer == TOOK_IT && (a == NOBODY || MORE(T[t_].own[1], T[t_].own[0])) -> a = 1
        :: else
        fi;
        if
        :: a == NOBODY -> forget(t_)
        :: else ->
                T[t_].gen = MAX(T[t_].gen, T[t_].own[a].gen);
                if
                :: T[t_].own[1 - a].answer == TOOK_IT -> T[t_].gen = MAX(T[t_].gen, T[t_].own[1 - a].gen)
                :: else
                fi;
                T[t_].leader = a;
                if
                :: T[t_].own[a].gen < T[t_].gen -> T[t_].state = RAISING
                :: else -> go_live(t_)
                fi
        fi
}

#define MAY_GO(t, o) (T[t].own[o].state == JOINING || T[t].own[1 - o].state == IN_STEP)

inline go_out(t_, o_)
{
        T[t_].own[o_].state = OUT;
        printf("transcoder %d: origin %d is out of step\n", t_, o_);
        T[t_].own[o_].join = 0;
        T[t_].own[o_].tried = 0;
        T[t_].own[o_].next = 0
}

inline note_stored(t_)
{
        a = (quorum_one -> 0 : PLACES);
        i = 0;
        do
        :: i < 2 ->
                if
                :: T[t_].own[i].state == IN_STEP && quorum_one -> a = MAX(a, T[t_].own[i].next)
                :: T[t_].own[i].state == IN_STEP && !quorum_one -> a = MIN(a, T[t_].own[i].next)
                :: else
                fi;
                i++
        :: else -> break
        od;
        T[t_].stored = MAX(T[t_].stored, a)
}

inline look_if_in_step(t_, o_)
{
        if
        :: T[t_].own[o_].state == JOINING && (T[t_].own[o_].next >= T[t_].stored) -> T[t_].own[o_].state = IN_STEP
        :: else
        fi;
        note_stored(t_)
}

inline joined(t_, o_)
{
        b = (O[o_].end > 0 -> GEN(O[o_].who[O[o_].end - 1]) : 0);
        if
        :: T[t_].own[o_].join ->
                T[t_].own[o_].join = 0;
                T[t_].own[o_].next = MAX(O[o_].end, T[t_].begin)
        :: !T[t_].own[o_].join && ((b > 0 && b < T[t_].gen && O[o_].end > T[t_].begin) || O[o_].end < T[t_].begin) ->
                T[t_].own[o_].tried = 1
        :: else ->
                T[t_].own[o_].state = JOINING;
                T[t_].own[o_].next = O[o_].end
        fi;
        look_if_in_step(t_, o_)
}

inline answer_to_claim(t_, o_)
{
        if
        :: arrived -> do_claim(t_, o_, T[t_].above)
        :: else
        fi;
        LOSE_ANSWER;
        if
        :: r == OK ->
                T[t_].own[o_].answer = TOOK_IT;
                note_answer(t_, o_)
        :: else -> T[t_].own[o_].answer = REFUSED
        fi
}

/* JOIN: where it has to wait for what the origin lacks, it is tried again when something has changed. */
inline answer_to_join(t_, o_)
{
        if
        :: arrived -> do_join(t_, o_, T[t_].gen)
        :: else
        fi;
        LOSE_ANSWER;
        if
        :: r == WAIT && slow > 0 ->
                slow--;
                r = OK
        :: else
        fi;
        if
        :: r == WAIT -> T[t_].own[o_].tried = 1
        :: r == FENCED && (T[t_].state == LIVE || !FENCED_GOES_ON) ->
                printf("transcoder %d: is fenced\n", t_);
                forget(t_)
        :: r == OK && T[t_].state == LIVE -> joined(t_, o_)
        :: r == OK && T[t_].state == RAISING ->
                note_answer(t_, o_);
                go_live(t_)
        :: r != OK && r != WAIT && T[t_].state == RAISING ->
                T[t_].own[o_].answer = REFUSED;
                T[t_].state = CLAIMING
        :: else
        fi
}

inline answer_to_put(t_, o_)
{
        if
        :: arrived -> do_put(t_, o_, T[t_].gen, T[t_].own[o_].next)
        :: else
        fi;
        LOSE_ANSWER;
        if
        :: r == OK ->
                T[t_].own[o_].next++;
                look_if_in_step(t_, o_)
        :: r == FENCED ->
                printf("transcoder %d: is fenced\n", t_);
                forget(t_)
        :: r != OK && r != FENCED && MAY_GO(t_, o_) ->
                go_out(t_, o_);
                note_stored(t_)
        :: r == NOT_FOUND && !MAY_GO(t_, o_) ->
                T[t_].own[o_].join = 1;
                T[t_].own[o_].tried = 0
        :: r == ORDER && !MAY_GO(t_, o_) -> assert(false) /* the last one in step refuses: the chunk is dropped */
        :: else
        fi
}

#define CAN_CLAIM(t, o) (T[t].state == CLAIMING && T[t].own[o].answer == NOT_ASKED)
#define CAN_PUT(t, o) \
        (T[t].state == LIVE && T[t].fed && T[t].own[o].state != OUT && !T[t].own[o].join && T[t].own[o].next < PLACES)
#define CAN_JOIN(t, o) \
        (T[t].state == LIVE && (T[t].own[o].state == OUT || T[t].own[o].join) && !T[t].own[o].tried && REACHES(t, o))

#define ONE_OF(can) \
        if \
        :: can(t, 0) -> which = 0 \
        :: can(t, 1) -> which = 1 \
        fi

proctype transcoder(byte t)
{
        do
        :: d_step { T[t].state != IDLE && t_crashes > 0 ->
                t_crashes--;
                printf("transcoder %d: dies\n", t);
                forget(t);
                skip }
        :: atomic { CAN_CLAIM(t, 0) || CAN_CLAIM(t, 1) ->
                ONE_OF(CAN_CLAIM);
                fate(CLAIM, t, which, T[t].above, 0);
                d_step {
                        answer_to_claim(t, which);
                        which = 0 } }
        :: d_step { T[t].state == CLAIMING && T[t].own[0].answer && T[t].own[1].answer ->
                choose(t);
                skip }
        :: atomic { T[t].state == RAISING && !T[t].own[T[t].leader].tried ->
                which = T[t].leader;
                fate(JOIN, t, which, T[t].gen, 0);
                d_step {
                        answer_to_join(t, which);
                        which = 0 } }
        :: atomic { CAN_JOIN(t, 0) || CAN_JOIN(t, 1) ->
                ONE_OF(CAN_JOIN);
                fate(JOIN, t, which, T[t].gen, 0);
                d_step {
                        answer_to_join(t, which);
                        which = 0 } }
        :: atomic { CAN_PUT(t, 0) || CAN_PUT(t, 1) ->
                ONE_OF(CAN_PUT);
                fate(PUT, t, which, T[t].gen, T[t].own[which].next);
                d_step {
                        answer_to_put(t, which);
                        which = 0 } }
        od
}

/* ---- proxy -------------------------------------------------------------------------------------------------------- */

/* A claim is good for the OPEN that it was made for, and for those after it until the proxy knows of a newer writer. */
inline open(t_)
{
        has = t_;
        printf("proxy: opens transcoder %d, generation above %d\n", t_, gen);
        opened = 0;
        if
        :: !OLD_CLAIM && T[t_].state != IDLE && gen > (T[t_].fed -> T[t_].gen : T[t_].above) -> forget(t_)
        :: else
        fi;
        if
        :: T[t_].state == IDLE ->
                T[t_].state = CLAIMING;
                T[t_].above = (NO_ARBITER -> 0 : gen)
        :: else
        fi
}

proctype proxy()
{
        do
        :: d_step { has == NOBODY ->
                open(0);
                skip }
        :: d_step { has == NOBODY ->
                open(1);
                skip }
        :: d_step { has != NOBODY && T[has].state == IDLE ->
                has = NOBODY;
                opened = 0 }
        :: d_step { has != NOBODY && T[has].state != IDLE && t_left > 0 ->
                t_left--;
                printf("proxy: leaves transcoder %d\n", has);
                has = NOBODY;
                opened = 0 }
        :: d_step { has != NOBODY && !opened && T[has].state == LIVE ->
                opened = 1;
                gen = MAX(gen, T[has].gen);
                if
                :: !T[has].fed ->
                        T[has].fed = 1;
                        T[has].from = head;
                        printf("proxy: transcoder %d gets all from %d on\n", has, head)
                :: else
                fi;
                skip }
        :: d_step { EARLY_TRIM && has != NOBODY && opened && T[has].state == LIVE && head < PLACES ->
                head = PLACES }
        :: d_step { has != NOBODY && opened && T[has].state == LIVE && T[has].stored > head ->
                head = T[has].stored;
                printf("proxy: %d are stored, says transcoder %d\n", head, has);
                look_for_lost();
                skip }
        od
}

/* ---- the network, and the end of all faults ------------------------------------------------------------------------ */

inline late_over()
{
        late_type = 0;
        late_t = 0;
        late_o = 0;
        late_gen = 0;
        late_place = 0
}

proctype network()
{
        do
        :: d_step { late_type && O[late_o].state == UP ->
                if
                :: late_type == CLAIM -> do_claim(late_t, late_o, late_gen)
                :: late_type == JOIN -> do_join(late_t, late_o, late_gen)
                :: late_type == PUT -> do_put(late_t, late_o, late_gen, late_place)
                fi;
                late_over() }
        :: d_step { late_type -> late_over() }
        :: atomic { cuts > 0 && cut_t == NOBODY ->
                cuts--;
                if
                :: cut_t = 0
                :: cut_t = 1
                fi;
                if
                :: cut_o = 0
                :: cut_o = 1
                fi;
                origin_changed() }
        :: d_step { cut_t != NOBODY ->
                cut_t = NOBODY;
                cut_o = 0;
                origin_changed() }
        :: d_step { !calm ->
                calm = 1;
                t_crashes = 0; t_left = 0; o_crashes = 0; o_freezes = 0; mishaps = 0; cuts = 0; slow = 0 }
        od
}

proctype all_is_stored()
{
        atomic { timeout ->
                assert(calm);
                assert(head == PLACES);
                assert(O[0].end == PLACES && O[1].end == PLACES);
                i = 0;
                do
                :: i < PLACES ->
                        assert(O[0].who[i] == O[1].who[i]);
                        i++
                :: else -> break
                od;
                skip }
}

init
{
        atomic {
                c_code {
                        now.mutant = number("MUTANT");
                        now.strict = number("STRICT");
                        now.quorum_one = number("QUORUM_ONE");
                        now.t_crashes = number("T_CRASHES");
                        now.t_left = number("T_LEFT");
                        now.o_crashes = number("O_CRASHES");
                        now.o_freezes = number("O_FREEZES");
                        now.mishaps = number("MISHAPS");
                        now.cuts = number("CUTS");
                        now.slow = number("SLOW");
                };
                O[0].state = UP;
                O[1].state = UP;
                run origin(0);
                run origin(1);
                run transcoder(0);
                run transcoder(1);
                run proxy();
                run network();
                run all_is_stored()
        }
}

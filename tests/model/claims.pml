/* claims.pml - which session a writer goes on with: CLAIM, JOIN and END of two broadcasts of one stream at two origins, one
 * of which may have been dead when the first one ended. README.md says what holds.
 *
 * A session is its number, which is its epoch: the newer, the higher. Of its chunks there is nothing here (store.pml,
 * volumes.pml). Nothing takes time, but for one thing: the grace time is longer than it takes a writer to claim. */

c_decl {
        \#include <stdlib.h>
        static int number(const char *name)
        {
                const char *text = getenv(name);
                return text ? atoi(text) : 0;
        }
};
byte t_crashes, o_crashes, mishaps; /* how often; README.md says what they are */
bit strict; /* nobody is refused or fenced while there is one writer */

byte mutant; /* the rule that is broken */
#define NOT_HELD (mutant == 1)        /* a CLAIM is answered before an origin has compared */
#define OVER_CLAIMED (mutant == 2)    /* what ended at the other origin is claimed again */
#define HELD_IS_BLIND (mutant == 3)   /* a CLAIM that was held is taken, though its writer has joined meanwhile */

#define CAME_IS_CLAIMED (mutant == 4) /* likewise, though the session came from the other origin meanwhile */

#define SESSIONS 5
#define NOBODY 2
#define LIVE 1
#define ENDED 2

typedef session_t {
        byte state; /* 0: there is none */
        byte gen;
        bit node; /* whose generation that is */
        bit by_writer; /* it ended so */
        bit claimed;   /* since the origin started */
        bit over;      /* ended elsewhere */
};
typedef origin_t {
        bit up, settled;
        bit look;
        byte held; /* the number that a CLAIM which waits proposes, */
        bit held_node;         /* for whom, */
        byte held_s, held_gen; /* and what lived here when it came */
        session_t s[SESSIONS];
};
origin_t O[2];

#define IDLE 0
#define CLAIMING 1
#define LEADING 2
bit node; /* the transcoder that writes */
byte state, broadcast, proposed, session, gen;
bit in[2], tried[2];
byte answer[2]; /* 0: not asked; 1: waits; 2: came; 3: none */
byte told[2], told_gen[2];
bit led[SESSIONS]; /* it has chunks */
bit calm;

hidden byte i, a, s_, which;

#define PEERS (O[0].up && O[1].up)

inline changed()
{
        O[0].look = 1;
        O[1].look = 1;
        tried[0] = 0;
        tried[1] = 0
}

inline live_of(o_)
{
        s_ = 0; /* numbers begin with 1 */
        i = 1;
        do
        :: i < SESSIONS ->
                if
                :: O[o_].s[i].state == LIVE -> s_ = i
                :: else
                fi;
                i++
        :: else -> break
        od
}

inline take_claim(o_, new_, node_)
{
        live_of(o_);
        if
        :: s_ && O[o_].s[s_].over && !OVER_CLAIMED -> s_ = 0
        :: else
        fi;
        if
        :: !s_ && O[o_].s[new_].state -> answer[o_] = 3 /* ERR_CONFLICT */
        :: else ->
                if
                :: !s_ -> s_ = new_
                :: else
                fi;
                O[o_].s[s_].state = LIVE;
                O[o_].s[s_].gen++;
                O[o_].s[s_].node = node_;
                O[o_].s[s_].claimed = 1;
                O[o_].s[s_].over = 0;
                assert(O[o_].s[s_].gen < 12);
                printf("origin %d: claimed: session %d, generation %d\n", o_, s_, O[o_].s[s_].gen);
                if
                :: state == CLAIMING && new_ == proposed && answer[o_] < 2 ->
                        answer[o_] = 2;
                        told[o_] = s_;
                        told_gen[o_] = O[o_].s[s_].gen
                :: else
                fi;
                changed()
        fi
}

/* What the other origin has of each session, as compare_end() and copy_session.c judge it. */
inline compare(o_)
{
        a = 1;
        do
        :: a < SESSIONS ->
                live_of(o_);
                if
                :: O[1 - o_].s[a].state == ENDED && O[o_].s[a].state == LIVE &&
                   O[1 - o_].s[a].gen >= O[o_].s[a].gen && (O[1 - o_].s[a].by_writer || !O[o_].s[a].claimed) ->
                        O[o_].s[a].over = 1
                :: O[1 - o_].s[a].state == LIVE && O[o_].s[a].state == ENDED && !s_ &&
                   (O[1 - o_].s[a].gen > O[o_].s[a].gen || (!O[o_].s[a].by_writer && state == LEADING && session == a)) ->
                        O[o_].s[a].state = LIVE;
                        O[o_].s[a].by_writer = 0;
                        O[o_].s[a].claimed = 0;
                        O[o_].s[a].gen = O[1 - o_].s[a].gen;
                        O[o_].s[a].node = O[1 - o_].s[a].node;
                        printf("origin %d: session %d goes on\n", o_, a);
                        changed()
                :: O[1 - o_].s[a].state == LIVE && !O[o_].s[a].state && !s_ ->
                        O[o_].s[a].state = LIVE;
                        O[o_].s[a].gen = O[1 - o_].s[a].gen;
                        O[o_].s[a].node = O[1 - o_].s[a].node;
                        changed()
                :: O[1 - o_].s[a].state == ENDED && !O[o_].s[a].state ->
                        O[o_].s[a].state = ENDED;
                        O[o_].s[a].by_writer = O[1 - o_].s[a].by_writer;
                        O[o_].s[a].gen = O[1 - o_].s[a].gen;
                        O[o_].s[a].node = O[1 - o_].s[a].node;
                        changed()
                :: O[1 - o_].s[a].state == O[o_].s[a].state && O[1 - o_].s[a].gen > O[o_].s[a].gen ->
                        O[o_].s[a].gen = O[1 - o_].s[a].gen;
                        O[o_].s[a].node = O[1 - o_].s[a].node;
                        changed()
                :: else
                fi;
                a++
        :: else -> break
        od
}

inline settle(o_)
{
        O[o_].settled = 1;
        printf("origin %d: is settled\n", o_);
        if
        :: O[o_].held ->
                live_of(o_);
                if
                /* its writer may be the one that has it elsewhere by now */
                :: s_ && !HELD_IS_BLIND &&
                   (O[o_].s[s_].claimed ||
                    (!CAME_IS_CLAIMED && (O[o_].s[s_].node == O[o_].held_node || s_ != O[o_].held_s ||
                                          O[o_].s[s_].gen != O[o_].held_gen))) ->
                        answer[o_] = (answer[o_] == 1 -> 3 : answer[o_])
                :: else -> take_claim(o_, O[o_].held, O[o_].held_node)
                fi;
                O[o_].held = 0;
                O[o_].held_s = 0;
                O[o_].held_node = 0;
                O[o_].held_gen = 0
        :: else
        fi
}

inline end(o_, n_, by_)
{
        O[o_].s[n_].state = ENDED;
        O[o_].s[n_].by_writer = by_;
        O[o_].s[n_].over = 0;
        printf("origin %d: session %d ends\n", o_, n_);
        changed()
}

#define OVER(o, n) (O[o].s[n].state == LIVE && O[o].s[n].over)
#define ALONE(o, n) (O[o].s[n].state == LIVE && state == LEADING && session != (n))

proctype origin(byte o)
{
        do
        :: d_step { O[o].up && o_crashes > 0 ->
                o_crashes--;
                O[o].up = 0;
                O[o].settled = 0;
                O[o].held = 0;
                O[o].held_s = 0;
                O[o].held_node = 0;
                O[o].held_gen = 0;
                answer[o] = (answer[o] == 1 -> 3 : answer[o]);
                i = 1;
                do
                :: i < SESSIONS ->
                        O[o].s[i].claimed = 0;
                        O[o].s[i].over = 0;
                        i++
                :: else -> break
                od;
                printf("origin %d: dies\n", o);
                changed() }
        :: d_step { !O[o].up ->
                O[o].up = 1;
                printf("origin %d: is up again\n", o);
                changed() }
        :: d_step { O[o].up && !O[o].settled && O[1 - o].up ->
                compare(o);
                settle(o);
                skip }
        :: d_step { O[o].up && !O[o].settled && !O[1 - o].up ->
                settle(o);
                skip }
        :: d_step { PEERS && O[o].settled && O[o].look ->
                O[o].look = 0;
                compare(o);
                skip }
        :: d_step { O[o].up && (OVER(o, 1) || OVER(o, 2) || OVER(o, 3) || OVER(o, 4)) ->
                which = (OVER(o, 1) -> 1 : (OVER(o, 2) -> 2 : (OVER(o, 3) -> 3 : 4)));
                end(o, which, 1);
                which = 0 }
        :: d_step { O[o].up && O[o].settled && (ALONE(o, 1) || ALONE(o, 2) || ALONE(o, 3) || ALONE(o, 4)) ->
                which = (ALONE(o, 1) -> 1 : (ALONE(o, 2) -> 2 : (ALONE(o, 3) -> 3 : 4)));
                end(o, which, 0); /* the grace time is over */
                which = 0 }
        od
}

inline forget()
{
        state = IDLE;
        session = 0;
        gen = 0;
        proposed = 0;
        i = 0;
        do
        :: i < 2 ->
                in[i] = 0;
                answer[i] = 0;
                told[i] = 0;
                told_gen[i] = 0;
                i++
        :: else -> break
        od;
        changed()
}

inline choose()
{
        a = (answer[0] == 2 -> 0 : 1);
        if
        :: answer[1] == 2 && /* what has something, then the newer one */
           ((led[told[1]] && !led[told[a]]) || (led[told[1]] == led[told[a]] && told[1] > told[a]) ||
            (told[1] == told[a] && told_gen[1] > told_gen[a])) -> a = 1
        :: else
        fi;
        session = told[a];
        gen = told_gen[a];
        state = LEADING;
        led[session] = 1;
        printf("writer: leads session %d with generation %d at origin %d\n", session, gen, a);
        in[a] = 1;
        i = 0;
        do
        :: i < 2 ->
                answer[i] = 0;
                told[i] = 0;
                told_gen[i] = 0;
                i++
        :: else -> break
        od
}

inline join(o_)
{
        live_of(o_);
        if
        :: O[o_].s[session].state == ENDED ->
                printf("writer: origin %d says that session %d is closed\n", o_, session);
                assert(!strict); /* it would have one copy only */
                if
                :: in[1 - o_] -> tried[o_] = 1
                :: else -> forget()
                fi
        :: else ->
                if
                :: (O[o_].s[session].gen > gen) || (s_ > session && (led[s_] || O[o_].s[s_].node != node)) ->
                        printf("writer: is fenced by origin %d\n", o_);
                        forget()
                :: else ->
                        if
                        :: s_ && s_ != session -> end(o_, s_, 0) /* superseded */
                        :: else
                        fi;
                        if
                        :: O[o_].s[session].gen != gen || O[o_].s[session].state != LIVE || O[o_].s[session].over -> changed()
                        :: else
                        fi;
                        O[o_].s[session].state = LIVE;
                        O[o_].s[session].gen = gen;
                        O[o_].s[session].node = node;
                        O[o_].s[session].claimed = 1;
                        O[o_].s[session].over = 0;
                        in[o_] = 1;
                        printf("writer: joins session %d at origin %d\n", session, o_)
                fi
        fi
}

#define REFUSES(o) (in[o] && O[o].up && O[o].s[session].claimed && (O[o].s[session].gen != gen || O[o].s[session].state != LIVE))
#define OUT(o) (in[o] && !(O[o].up && O[o].s[session].claimed))
#define HEARS_END(o) (!O[o].up || (in[o] && O[o].s[session].claimed))
#define ASK(o) (state == CLAIMING && answer[o] == 0)

inline ask(o_)
{
        if
        :: !O[o_].up -> answer[o_] = 3
        :: O[o_].up && !O[o_].settled && !NOT_HELD ->
                answer[o_] = 1;
                O[o_].held = proposed;
                O[o_].held_node = node;
                live_of(o_);
                O[o_].held_s = s_;
                O[o_].held_gen = O[o_].s[s_].gen;
                printf("origin %d: holds a claim\n", o_)
        :: else -> take_claim(o_, proposed, node)
        fi
}

byte next_number = 1;

proctype writer()
{
        do
        :: d_step { state == IDLE && next_number < SESSIONS ->
                state = CLAIMING;
                proposed = next_number;
                next_number++;
                printf("writer: claims, broadcast %d, would have it be session %d\n", broadcast, proposed) }
        :: d_step { ASK(0) && mishaps > 0 -> mishaps--; answer[0] = 3 }
        :: d_step { ASK(1) && mishaps > 0 -> mishaps--; answer[1] = 3 }
        :: d_step { ASK(0) -> ask(0); skip }
        :: d_step { ASK(1) -> ask(1); skip }
        /* who waits is left behind */
        :: d_step { state == CLAIMING && (answer[0] == 2 || answer[1] == 2) && answer[0] && answer[1] ->
                choose();
                skip }
        :: d_step { state == CLAIMING && answer[0] == 3 && answer[1] == 3 ->
                next_number = (next_number == proposed + 1 -> proposed : next_number); /* nobody knows of it */
                next_number = ((O[0].s[proposed].state || O[1].s[proposed].state) -> proposed + 1 : proposed);
                forget();
                skip }
        :: d_step { state == LEADING && !in[0] && O[0].up && !tried[0] -> join(0); skip }
        :: d_step { state == LEADING && !in[1] && O[1].up && !tried[1] -> join(1); skip }
        :: d_step { state == LEADING && OUT(0) && (in[1] || O[0].up) -> in[0] = 0; tried[0] = 0 }
        :: d_step { state == LEADING && OUT(1) && (in[0] || O[1].up) -> in[1] = 0; tried[1] = 0 }
        :: d_step { state == LEADING && (REFUSES(0) || REFUSES(1)) ->
                printf("writer: is fenced\n");
                assert(!strict);
                forget();
                skip }
        :: d_step { state == LEADING && t_crashes > 0 ->
                t_crashes--;
                printf("writer: dies\n");
                node = 1 - node;
                forget();
                skip }
        :: d_step { state == LEADING && broadcast == 0 && (in[0] || in[1]) && HEARS_END(0) && HEARS_END(1) ->
                broadcast = 1;
                which = session;
                if
                :: in[0] && O[0].up && O[0].s[which].claimed && O[0].s[which].state == LIVE -> end(0, which, 1)
                :: else
                fi;
                if
                :: in[1] && O[1].up && O[1].s[which].claimed && O[1].s[which].state == LIVE -> end(1, which, 1)
                :: else
                fi;
                which = 0;
                forget();
                skip }
        :: d_step { !calm ->
                calm = 1;
                o_crashes = 0; t_crashes = 0; mishaps = 0 }
        od
}

proctype all_is_the_same()
{
        atomic { timeout ->
                assert(calm);
                assert(state == LEADING && broadcast == 1 && in[0] && in[1]);
                i = 1;
                do
                :: i < SESSIONS ->
                        assert(O[0].s[i].state == O[1].s[i].state);
                        assert(i == session || O[0].s[i].state != LIVE);
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
                        now.t_crashes = number("T_CRASHES");
                        now.o_crashes = number("O_CRASHES");
                        now.mishaps = number("MISHAPS");
                };
                O[0].up = 1;
                O[1].up = 1;
                O[0].settled = 1;
                O[1].settled = 1;
                run origin(0);
                run origin(1);
                run writer();
                run all_is_the_same()
        }
}

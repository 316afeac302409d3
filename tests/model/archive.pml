/* archive.pml - closed volumes of one recording at two owners, and an object store that both share. README.md says what holds.
 *
 * A volume's bytes are its version: 1, and 2 when it was cut off and written anew. Each step is one that a crash may come behind. What is on
 * the disk: drow, file, ver, kept, rem, note; all else is forgotten by a crash. */

c_decl {
        \#include <stdlib.h>
        static int number(const char *name)
        {
                const char *text = getenv(name);
                return text ? atoi(text) : 0;
        }
};
byte crashes, retains, removes, cuts, brings; /* how often; README.md says what they are */

byte mutant; /* the rule that is broken */
#define NOT_ASKED (mutant == 1)     /* a volume that was sent counts as copied, and nobody asks for it */
#define UNLINKED_FIRST (mutant == 2) /* its file goes before its row is saved */
#define NOTED_LAST (mutant == 3)    /* what is to go is noted when the files are gone */
#define LAST_BLIND (mutant == 4)    /* who removes a recording does not ask the other owner */
#define TRIM_BLIND (mutant == 5)    /* nor who removes a volume of a live one */
#define BY_NUMBER (mutant == 6)     /* an object has no checksum in its name */
#define COPIED_STAYS (mutant == 7)  /* what was copied of a volume that is cut off counts for the new one */
#define SENDS_ON (mutant == 8)      /* the other owner is asked while an object is still on its way */

#define VOLUMES 2
#define NONE 0
#define HERE 1
#define LEAVING 2 /* its row is to be saved */
#define ARCHIVED 3

typedef volume_t {
        byte row, drow, file, ver;
        bit copied;
};
typedef origin_t {
        bit up, note, waiting, again, arrived, unnoted;
        byte rem;     /* the recording: 1: it is marked, 2: its files are gone */
        byte kept;    /* the first volume that is */
        byte sending; /* its number + 1, */
        byte sends;   /* and version */
        byte stage, limit; /* 1: the other owner was asked, volumes below limit go; 2: they went */
        volume_t v[VOLUMES];
};
origin_t O[2];
byte obj[4]; /* by number and version: what is in it */
bit calm;
hidden byte i, k;

#define OTHER O[1 - o_]
#define ME O[o_]
#define V ME.v[v_]
#define AT(v__, ver__) (BY_NUMBER -> 2 * (v__) : 2 * (v__) + (ver__) - 1)

inline promises()
{
        i = 0;
        do
        :: i < 2 ->
                k = O[i].kept;
                do
                :: k < VOLUMES && !O[i].rem ->
                        /* what the store has alone is there, as this owner knows it */
                        assert(!(O[i].v[k].drow == ARCHIVED && !O[i].v[k].file) || obj[AT(k, O[i].v[k].ver)] == O[i].v[k].ver);
                        assert(O[i].v[k].drow != HERE || O[i].v[k].file == O[i].v[k].ver);
                        k++
                :: else -> break
                od;
                i++
        :: else -> break
        od;
        i = 0;
        k = 0
}

inline start(o_)
{
        ME.up = 1;
        ME.waiting = ME.note || (!ME.rem && ME.kept);
        k = 0;
        do
        :: k < VOLUMES ->
                if
                :: ME.rem || k < ME.kept || ME.v[k].drow == NONE ->
                        ME.v[k].row = NONE;
                        ME.v[k].file = (ME.rem == 1 -> ME.v[k].file : 0)
                :: else ->
                        if
                        :: ME.v[k].drow == HERE || ME.v[k].file == ME.v[k].ver -> ME.v[k].row = HERE
                        :: else ->
                                ME.v[k].row = ARCHIVED;
                                ME.v[k].file = 0
                        fi
                fi;
                k++
        :: else -> break
        od;
        printf("origin %d: starts\n", o_)
}

inline crash(o_, came)
{
        ME.up = 0;
        if
        :: ME.sending && !ME.arrived && came -> obj[AT(ME.sending - 1, ME.sends)] = ME.sends
        :: else
        fi;
        ME.sending = 0;
        ME.arrived = 0;
        ME.sends = 0;
        ME.waiting = 0;
        ME.again = 0;
        ME.unnoted = 0;
        ME.stage = 0;
        ME.limit = 0;
        k = 0;
        do
        :: k < VOLUMES ->
                ME.v[k].row = NONE;
                ME.v[k].copied = 0;
                k++
        :: else -> break
        od;
        printf("origin %d: dies\n", o_)
}

inline put_done(o_)
{
        k = ME.sending - 1;
        if
        :: ME.rem || k < ME.kept -> /* removed while it was sent */
                if
                :: ME.waiting -> ME.again = 1
                :: else -> ME.unnoted = 1
                fi
        :: else ->
                if
                :: ME.v[k].row == HERE && ME.v[k].ver == ME.sends && obj[AT(k, ME.sends)] == ME.sends -> ME.v[k].copied = 1
                :: else
                fi
        fi;
        ME.sending = 0;
        ME.sends = 0;
        ME.arrived = 0
}

/* The other owner says what it has. */
inline ask(o_)
{
        printf("origin %d: asks\n", o_);
        if
        :: ME.rem && !OTHER.rem && !LAST_BLIND ->
                ME.waiting = ME.again;
                ME.note = ME.again
        :: else ->
                ME.stage = 1;
                ME.limit = (ME.rem -> VOLUMES : ME.kept);
                if
                :: !ME.rem && !OTHER.rem && OTHER.kept < ME.limit && !TRIM_BLIND -> ME.limit = OTHER.kept
                :: else
                fi
        fi;
        ME.again = 0
}

inline remove_objects(o_)
{
        printf("origin %d: removes objects below %d\n", o_, ME.limit);
        k = 0;
        do
        :: k < ME.limit ->
                obj[2 * k] = 0;
                obj[2 * k + 1] = 0;
                k++
        :: else -> break
        od;
        ME.stage = 2
}

inline remove_files(o_)
{
        k = 0;
        do
        :: k < VOLUMES ->
                ME.v[k].row = NONE;
                ME.v[k].drow = NONE;
                ME.v[k].file = 0;
                ME.v[k].copied = 0;
                k++
        :: else -> break
        od
}

/* Steps of one volume. */
#define VOLUME(o_, v_)                                                                                                   \
        :: d_step { O[o_].up && !O[o_].rem && O[o_].v[v_].row == HERE && !O[o_].v[v_].copied &&                           \
                    obj[AT(v_, O[o_].v[v_].ver)] == O[o_].v[v_].ver ->                                                    \
                O[o_].v[v_].copied = 1; printf("origin %d: finds volume %d there\n", o_, v_) }                            \
        :: d_step { O[o_].up && !O[o_].rem && O[o_].v[v_].row == HERE && !O[o_].v[v_].copied && !O[o_].sending &&         \
                    !obj[AT(v_, O[o_].v[v_].ver)] ->                                                                      \
                O[o_].sending = v_ + 1; O[o_].sends = O[o_].v[v_].ver; O[o_].v[v_].copied = NOT_ASKED;                    \
                printf("origin %d: sends volume %d, version %d\n", o_, v_, O[o_].sends) }                                 \
        :: d_step { O[o_].up && O[o_].v[v_].row == HERE && O[o_].v[v_].copied ->                                          \
                O[o_].v[v_].row = LEAVING;                                                                                \
                O[o_].v[v_].file = (UNLINKED_FIRST -> 0 : O[o_].v[v_].file); promises() }                                 \
        :: d_step { O[o_].up && O[o_].v[v_].row == LEAVING ->                                                             \
                O[o_].v[v_].drow = ARCHIVED; O[o_].v[v_].row = ARCHIVED;                                                  \
                printf("origin %d: saves that volume %d is archived\n", o_, v_); promises() }                             \
        :: d_step { O[o_].up && O[o_].v[v_].row == ARCHIVED && O[o_].v[v_].file ->                                        \
                O[o_].v[v_].file = 0; printf("origin %d: unlinks volume %d\n", o_, v_); promises() }                      \
        :: d_step { O[o_].up && !calm && brings && O[o_].v[v_].row == ARCHIVED && !O[o_].v[v_].file &&                    \
                    obj[AT(v_, O[o_].v[v_].ver)] == O[o_].v[v_].ver ->                                                    \
                brings--; O[o_].v[v_].file = O[o_].v[v_].ver; O[o_].v[v_].row = HERE; O[o_].v[v_].copied = 1;             \
                printf("origin %d: brings volume %d back\n", o_, v_) }                                                    \
        :: d_step { O[o_].up && O[o_].v[v_].row == HERE && O[o_].v[v_].drow == ARCHIVED -> O[o_].v[v_].drow = HERE; promises() } \
        :: d_step { O[o_].up && !O[o_].rem && v_ >= O[o_].kept && O[o_].v[v_].ver == 1 &&                                 \
                    (O[o_].v[v_].row == HERE || O[o_].v[v_].row == ARCHIVED) &&                                           \
                    ((!calm && cuts) || O[1 - o_].v[v_].ver == 2) ->                                                      \
                cuts = (O[1 - o_].v[v_].ver == 2 -> cuts : cuts - 1);                                                     \
                O[o_].v[v_].row = NONE; O[o_].v[v_].drow = NONE;                                                          \
                O[o_].v[v_].copied = (COPIED_STAYS -> O[o_].v[v_].copied : 0);                                            \
                printf("origin %d: cuts volume %d off\n", o_, v_); promises() }                                           \
        :: d_step { O[o_].up && !O[o_].rem && v_ >= O[o_].kept && O[o_].v[v_].row == NONE && O[o_].v[v_].ver == 1 ->      \
                O[o_].v[v_].ver = 2; O[o_].v[v_].file = 2; O[o_].v[v_].row = HERE; O[o_].v[v_].drow = HERE;               \
                printf("origin %d: writes volume %d anew\n", o_, v_); promises() }

/* Steps of one owner. */
#define OWNER(o_)                                                                                                        \
        :: d_step { O[o_].up && O[o_].sending && !O[o_].arrived ->                                                        \
                obj[AT(O[o_].sending - 1, O[o_].sends)] = O[o_].sends; O[o_].arrived = 1; promises() }                    \
        :: d_step { O[o_].up && O[o_].sending && !O[o_].arrived && !calm -> O[o_].sending = 0; O[o_].sends = 0;           \
                printf("origin %d: the store refuses\n", o_) }                                                            \
        :: d_step { O[o_].up && O[o_].arrived -> put_done(o_) }                                                           \
        :: d_step { O[o_].up && O[o_].unnoted -> O[o_].unnoted = 0; O[o_].note = 1; O[o_].waiting = 1 }                   \
        :: d_step { O[o_].up && !calm && retains && !O[o_].rem && !O[o_].kept &&                                          \
                    (O[o_].v[0].row == HERE || O[o_].v[0].row == ARCHIVED) ->                                             \
                retains--; O[o_].kept = 1; O[o_].v[0].row = NONE; O[o_].v[0].drow = NONE; O[o_].v[0].copied = 0;          \
                O[o_].v[0].file = 0; O[o_].unnoted = 1; printf("origin %d: keeps volume 0 no more\n", o_) }               \
        :: d_step { O[o_].up && !calm && removes && !O[o_].rem && O[o_].v[0].row != LEAVING && O[o_].v[1].row != LEAVING -> \
                removes--; O[o_].rem = 1; printf("origin %d: marks the recording\n", o_) }                                \
        :: d_step { O[o_].up && O[o_].rem == 1 && !O[o_].note && !NOTED_LAST -> O[o_].note = 1 }                          \
        :: d_step { O[o_].up && O[o_].rem == 1 && (O[o_].note || NOTED_LAST) ->                                           \
                remove_files(o_); O[o_].rem = 2; O[o_].unnoted = NOTED_LAST;                                              \
                if :: O[o_].waiting -> O[o_].again = 1 :: else -> O[o_].waiting = !NOTED_LAST fi;                         \
                printf("origin %d: the files are gone\n", o_) }                                                           \
        :: d_step { O[o_].up && O[1 - o_].up && O[o_].waiting && !O[o_].stage && O[o_].rem != 1 &&                    \
                    (!O[o_].sending || SENDS_ON) -> ask(o_) }                                                             \
        :: d_step { O[o_].up && O[o_].stage == 1 -> remove_objects(o_); promises() }                                      \
        :: d_step { O[o_].up && O[o_].stage == 2 ->                                                                       \
                O[o_].stage = 0; O[o_].limit = 0; O[o_].waiting = O[o_].again; O[o_].note = O[o_].again; O[o_].again = 0 } \
        :: d_step { O[o_].up && !calm && crashes -> crashes--; crash(o_, 0); promises() }                                 \
        :: d_step { O[o_].up && !calm && crashes && O[o_].sending && !O[o_].arrived -> crashes--; crash(o_, 1); promises() } \
        :: d_step { !O[o_].up -> start(o_); promises() }

inline at_the_end()
{
        i = 0;
        do
        :: i < 2 ->
                assert(!O[i].waiting && !O[i].note && O[i].rem != 1);
                k = O[i].kept;
                do
                :: k < VOLUMES && !O[i].rem -> /* all of it is there, and here no more */
                        assert(O[i].v[k].row == ARCHIVED);
                        k++
                :: else -> break
                od;
                i++
        :: else -> break
        od;
        k = 0;
        do
        :: k < VOLUMES -> /* what nobody keeps is not there, but what goes with the rest of the recording that one of them still has */
                if
                :: O[0].rem == O[1].rem && (O[0].rem || (k < O[0].kept && k < O[1].kept)) -> assert(!obj[2 * k] && !obj[2 * k + 1])
                :: else
                fi;
                k++
        :: else -> break
        od;
        k = 0
}

init {
        d_step {
                c_code {
                        now.crashes = number("CRASHES");
                        now.retains = number("RETAINS");
                        now.removes = number("REMOVES");
                        now.cuts = number("CUTS");
                        now.brings = number("BRINGS");
                        now.mutant = number("MUTANT");
                };
                i = 0;
                do
                :: i < 2 ->
                        O[i].up = 1;
                        k = 0;
                        do
                        :: k < VOLUMES ->
                                O[i].v[k].ver = 1;
                                O[i].v[k].file = 1;
                                O[i].v[k].row = HERE;
                                O[i].v[k].drow = HERE;
                                k++
                        :: else -> break
                        od;
                        i++
                :: else -> break
                od;
                i = 0
        };
        do
        VOLUME(0, 0)
        VOLUME(0, 1)
        VOLUME(1, 0)
        VOLUME(1, 1)
        OWNER(0)
        OWNER(1)
        :: d_step { !calm -> calm = 1 }
        :: timeout -> break
        od;
        skip; /* nobody may jump into the next step */
        d_step { at_the_end() }
}

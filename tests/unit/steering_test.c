#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "edged/site_loads.h"
#include "edged/steering.h"

#define FULL 800
#define PLAYERS 10000

enum { FRA, AMS, LON, SITES };

/* ---- helpers -------------------------------------------------------------------------------------------------- */

struct shares {
        unsigned of[SITES];
};

static void three_sites(struct steering_site s[SITES], unsigned fra, unsigned ams, unsigned lon)
{
        s[FRA] = (struct steering_site){"fra", "fra.example.org", fra, true};
        s[AMS] = (struct steering_site){"ams", "ams.example.org:8443", ams, true};
        s[LON] = (struct steering_site){"lon", "lon.example.org", lon, true};
}

/* Where PLAYERS of them go that are at `from` and ask fra. */
static struct shares ask_many(const struct steering_site s[SITES], size_t from)
{
        struct shares out = {{0}};
        uint64_t chance = 88172645463325252u;
        for (unsigned i = 0; i < PLAYERS; i++) {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                out.of[steering_choose(s, SITES, FRA, from, FULL, chance)]++;
        }
        return out;
}

static size_t from(const char *target)
{
        struct steering_site s[SITES];
        three_sites(s, 0, 0, 0);
        return steering_from(target, s, SITES, FRA);
}

/* "fra ams lon here" */
static const char *priority(const struct steering_site s[SITES], size_t chosen)
{
        static char words[256];
        char *text = steering_text(s, SITES, chosen, false, 30);
        json_t *all = json_loads(text, 0, NULL), *name;
        size_t i;
        assert_non_null(all);
        words[0] = 0;
        json_array_foreach(json_object_get(all, "PATHWAY-PRIORITY"), i, name) {
                if (i)
                        strcat(words, " ");
                strcat(words, json_string_value(name));
        }
        json_decref(all);
        free(text);
        return words;
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void test_who_is_at_a_site_that_is_not_full_stays_there(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 799, 0, 0);
        assert_int_equal(ask_many(s, FRA).of[FRA], PLAYERS);
        assert_int_equal(ask_many(s, STEERING_NOWHERE).of[FRA], PLAYERS);
}

static void test_of_a_full_site_go_those_that_are_too_many_and_all_that_come_anew(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 1000, 400, 400);
        struct shares there = ask_many(s, FRA), anew = ask_many(s, STEERING_NOWHERE);
        assert_in_range(there.of[FRA], PLAYERS * 75 / 100, PLAYERS * 81 / 100);
        assert_int_equal(anew.of[FRA], 0);
        assert_in_range(anew.of[AMS], PLAYERS * 45 / 100, PLAYERS * 55 / 100);
        three_sites(s, 800, 0, 0); /* just full: a few go, so that there is an end of it */
        assert_in_range(ask_many(s, FRA).of[FRA], PLAYERS * 97 / 100, PLAYERS - 1);
}

static void test_who_goes_is_dealt_out_by_room_and_to_no_full_site(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 900, 700, 500); /* room: 100 and 300 */
        struct shares anew = ask_many(s, STEERING_NOWHERE);
        assert_in_range(anew.of[AMS], PLAYERS * 22 / 100, PLAYERS * 28 / 100);
        three_sites(s, 900, 850, 500);
        assert_int_equal(ask_many(s, STEERING_NOWHERE).of[AMS], 0);
        three_sites(s, 900, 850, 870); /* no room anywhere: nobody is sent from one crowd into another */
        assert_int_equal(ask_many(s, FRA).of[FRA], PLAYERS);
}

static void test_nobody_stays_at_a_site_that_does_not_answer(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 100, 100, 100);
        s[AMS].there = false;
        assert_int_equal(ask_many(s, AMS).of[AMS], 0);
        assert_int_equal(ask_many(s, STEERING_NOWHERE).of[AMS], 0);
        three_sites(s, 900, 0, 950); /* and if all others are full: the least full one */
        s[AMS].there = false;
        assert_int_equal(ask_many(s, AMS).of[FRA], PLAYERS);
}

static void test_who_was_sent_away_comes_back_by_and_by_when_there_is_plenty_of_room(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 300, 300, 300);
        assert_in_range(ask_many(s, AMS).of[FRA], PLAYERS * 22 / 100, PLAYERS * 28 / 100);
        three_sites(s, 750, 300, 300); /* not full, and would be again at once */
        assert_int_equal(ask_many(s, AMS).of[AMS], PLAYERS);
}

static void test_a_player_says_where_it_is_in_the_words_of_dash_or_hls(void **state)
{
        (void)state;
        assert_int_equal(from("/steering"), STEERING_NOWHERE);
        assert_int_equal(from("/steering?_DASH_pathway=%22ams%22&_DASH_throughput=5140000"), AMS);
        assert_int_equal(from("/steering?_DASH_pathway=\"ams\""), AMS);
        assert_int_equal(from("/steering?_DASH_pathway=%22fra%2Clon%22"), LON);
        assert_int_equal(from("/steering?_DASH_pathway=\"fra,lon\"&_DASH_throughput=1,2"), LON);
        assert_int_equal(from("/steering?_HLS_pathway=ams&_HLS_throughput=7"), AMS);
        assert_int_equal(from("/steering?_HLS_pathway=here"), FRA); /* where the manifest came from: who asks here, from here */
        static const char *const strange[] = {"_DASH_pathway=", "_DASH_pathway=\"\"", "_DASH_pathway=\"", "_DASH_pathway=%22", "_DASH_pathway=%",
                                              "_DASH_pathway=,", "_DASH_pathway=nowhere", "_DASH_pathway=am", "_DASH_pathway=amsx",
                                              "_DASH_pathwayx=ams", "x_DASH_pathway=ams", "_DASH_pathway", "&&&", "_HLS_pathway=%2"};
        for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
                char target[128] = "/steering?";
                assert_int_equal(from(strcat(target, strange[i])), STEERING_NOWHERE);
        }
}

static void test_the_chosen_site_is_named_first_and_those_that_do_not_answer_last(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 900, 500, 200);
        assert_string_equal(priority(s, FRA), "fra lon ams here");
        assert_string_equal(priority(s, AMS), "ams lon fra here");
        assert_string_equal(priority(s, LON), "lon ams fra here");
        s[LON].there = false;
        s[LON].load_permille = 0;
        assert_string_equal(priority(s, AMS), "ams fra lon here");
}

static void test_a_steering_manifest_has_what_the_standards_want(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 0, 0, 0);
        char *text = steering_text(s, 2, FRA, false, 30);
        assert_string_equal(text, "{\"VERSION\":1,\"TTL\":30,\"PATHWAY-PRIORITY\":[\"fra\",\"ams\",\"here\"],\"PATHWAY-CLONES\":["
                                  "{\"BASE-ID\":\"here\",\"ID\":\"fra\",\"URI-REPLACEMENT\":{\"HOST\":\"fra.example.org\"}},"
                                  "{\"BASE-ID\":\"here\",\"ID\":\"ams\",\"URI-REPLACEMENT\":{\"HOST\":\"ams.example.org:8443\"}}]}");
        free(text);
}

static void test_players_of_hls_are_told_host_names_without_ports(void **state)
{
        (void)state;
        struct steering_site s[SITES];
        three_sites(s, 0, 0, 0);
        s[LON].host = "[2001:db8::1]:8443";
        s[FRA].host = "[2001:db8::2]";
        char *text = steering_text(s, SITES, FRA, true, 30);
        assert_non_null(strstr(text, "\"HOST\":\"ams.example.org\""));
        assert_non_null(strstr(text, "\"HOST\":\"[2001:db8::1]\""));
        assert_non_null(strstr(text, "\"HOST\":\"[2001:db8::2]\""));
        free(text);
        assert_true(steering_is_hls("/steering?a=b&_HLS_pathway=here"));
        assert_false(steering_is_hls("/steering?_DASH_pathway=here"));
        assert_false(steering_is_hls("/steering"));
}

static void test_only_a_list_of_named_addresses_is_a_list_of_sites(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                bool good;
        } rows[] = {
                {"[]", true},
                {"[{\"name\": \"fra\", \"url\": \"https://fra.example.org\"}, {\"name\": \"a-1_B\", \"url\": \"http://10.0.0.1:8080\"}]", true},
                {"[{\"name\": \"v6\", \"url\": \"http://[::1]:8080\"}]", true},
                {"{}", false},
                {"[\"fra\"]", false},
                {"[{\"name\": \"fra\"}]", false},
                {"[{\"name\": \"fra\", \"url\": 7}]", false},
                {"[{\"name\": \"fra\", \"url\": \"https://fra.example.org\", \"load\": 1}]", false},
                {"[{\"name\": \"here\", \"url\": \"https://fra.example.org\"}]", false},
                {"[{\"name\": \"\", \"url\": \"https://fra.example.org\"}]", false},
                {"[{\"name\": \"a b\", \"url\": \"https://fra.example.org\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"https://fra.example.org/\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"https://fra.example.org/live\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"https://fra.example.org; script-src *\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"ftp://fra.example.org\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"fra.example.org\"}]", false},
                {"[{\"name\": \"fra\", \"url\": \"https://a\"}, {\"name\": \"fra\", \"url\": \"https://b\"}]", false},
        };
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char why[200] = "";
                json_t *sites = json_loads(rows[i].text, 0, NULL);
                assert_non_null(sites);
                if ((site_loads_check(&sites, why, sizeof(why)) == 0) != rows[i].good)
                        fail_msg("%s: %s", rows[i].text, why);
                assert_true(rows[i].good || *why);
                json_decref(sites);
        }
}

static void test_an_edge_is_of_one_of_the_sites(void **state)
{
        (void)state;
        char why[200];
        json_t *none = json_array(), *one = json_pack("[{s:s, s:s}]", "name", "fra", "url", "https://fra.example.org");
        assert_int_equal(site_loads_check_own(none, "", why, sizeof(why)), 0);
        assert_int_equal(site_loads_check_own(one, "fra", why, sizeof(why)), 0);
        assert_int_not_equal(site_loads_check_own(one, "", why, sizeof(why)), 0);
        assert_int_not_equal(site_loads_check_own(one, "ams", why, sizeof(why)), 0);
        assert_int_not_equal(site_loads_check_own(none, "fra", why, sizeof(why)), 0);
        json_decref(none);
        json_decref(one);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_players_of_hls_are_told_host_names_without_ports),
                cmocka_unit_test(test_who_is_at_a_site_that_is_not_full_stays_there),
                cmocka_unit_test(test_of_a_full_site_go_those_that_are_too_many_and_all_that_come_anew),
                cmocka_unit_test(test_who_goes_is_dealt_out_by_room_and_to_no_full_site),
                cmocka_unit_test(test_nobody_stays_at_a_site_that_does_not_answer),
                cmocka_unit_test(test_who_was_sent_away_comes_back_by_and_by_when_there_is_plenty_of_room),
                cmocka_unit_test(test_a_player_says_where_it_is_in_the_words_of_dash_or_hls),
                cmocka_unit_test(test_the_chosen_site_is_named_first_and_those_that_do_not_answer_last),
                cmocka_unit_test(test_a_steering_manifest_has_what_the_standards_want),
                cmocka_unit_test(test_only_a_list_of_named_addresses_is_a_list_of_sites),
                cmocka_unit_test(test_an_edge_is_of_one_of_the_sites),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

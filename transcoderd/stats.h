/* stats.h - what transcoderd counts. Any thread. */
#ifndef TRANSCODERD_STATS_H
#define TRANSCODERD_STATS_H

#include "common/daemon/metrics.h"

extern struct metric stats_rows[];
#define stats_sessions stats_rows[0]
#define stats_behind_us stats_rows[1]
#define stats_decoded stats_rows[2]
#define stats_encoded stats_rows[3]
#define stats_late stats_rows[4]
#define stats_corrupt stats_rows[5]
#define stats_shed stats_rows[6]
#define stats_skipped stats_rows[7]
#define stats_fenced stats_rows[8]
#define stats_slate_us stats_rows[9]
#define stats_claimed_again stats_rows[10]
#define stats_queued stats_rows[11]
#define stats_dropped stats_rows[12]
#define stats_recent stats_rows[13]
#define stats_no_space stats_rows[14]
#define stats_not_taken stats_rows[15]
#define stats_owners_in_step stats_rows[16]
#define stats_owners_joining stats_rows[17]
#define stats_owners_out stats_rows[18]
#define stats_handed_over stats_rows[19]
#define stats_switches stats_rows[20]
#define stats_shadows stats_rows[21]
#define stats_led stats_rows[22]
#define stats_cpu_us stats_rows[23]
#define stats_cpus stats_rows[24]
#define stats_refused_full stats_rows[25]
#define stats_refused_unsupported stats_rows[26]
#define stats_refused_not_yet stats_rows[27]
#define stats_refused_other stats_rows[28]
#define stats_closing stats_rows[29]
#define stats_clock_off stats_rows[30]
#define stats_failed_source stats_rows[31]
#define stats_failed_threads stats_rows[32]
#define stats_failed_encoder stats_rows[33]
#define stats_captions_dropped stats_rows[34]
#define stats_refused_capacity stats_rows[35]
#define stats_refused_beginning stats_rows[36]
#define stats_capacity stats_rows[37]
#define stats_promised stats_rows[38]
#define stats_impossible_generations stats_rows[39]
#define stats_cues_dropped stats_rows[40]
#define stats_pictures (&stats_rows[41]) /* PICTURE_ENDS */

extern struct histogram stats_put, stats_glass;

void stats_register(void);

#endif

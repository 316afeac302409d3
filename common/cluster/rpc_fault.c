#include "common/cluster/rpc_fault.h"

#include "common/cluster/rpc.h"
#include "common/daemon/metrics.h"

static struct metric faults[] = {
#define X(fault, text)                                                                                                 \
        {.name = "freshet_peer_errors_total",                                                                          \
         .type = METRIC_COUNTER,                                                                                       \
         .help = "Connections and requests of other nodes that were refused or given up, by reason.",                  \
         .labels = "reason=\"" text "\""},
        RPC_FAULT_MAP(X)
#undef X
};

void rpc_fault_register(void)
{
        metrics_register(faults, sizeof(faults) / sizeof(faults[0]));
}

void rpc_fault_count(enum rpc_fault fault)
{
        metric_add(&faults[fault], 1);
}

const char *node_role_name(enum node_role role)
{
        static const char *const names[] = {"unknown", "ingestd", "transcoderd", "originD", "edged"};
        return (unsigned)role < sizeof(names) / sizeof(names[0]) ? names[role] : names[0];
}

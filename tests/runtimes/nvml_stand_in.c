/* A libnvidia-ml.so.1 that does what a script says: as much of NVML as the agent asks, for tests without a GPU.
 *
 * The folder NVML_STAND_IN holds `script`, lines of KEY VALUE that every call reads anew (see the keys below), and
 * `xids`, lines of GPU XID: those that are appended after the events were registered arrive.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int index; } device;
static device devices[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static long heard; /* bytes of `xids` that were told, or came too early */

typedef struct { uint32_t field, scope; int64_t timestamp, latency; uint32_t type, result; uint64_t value; } field_value;
typedef struct { device *gpu; uint64_t type, data; uint32_t instance, compute; } event_data;
typedef struct { char legacy[16]; uint32_t domain, bus, device, id, subsystem; char bus_id[32]; } pci_info;

static FILE *opened(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("NVML_STAND_IN"), name);
    return fopen(path, "r");
}

static long value(const char *key, long fallback) {
    char name[64];
    long found;
    FILE *script = opened("script");
    while (script && fscanf(script, "%63s %ld", name, &found) == 2)
        if (strcmp(name, key) == 0) fallback = found;
    if (script) fclose(script);
    return fallback;
}

static long of(device *gpu, const char *key, long fallback) {
    char name[64];
    snprintf(name, sizeof name, "gpu%d.%s", gpu->index, key);
    return value(name, fallback);
}

/* What every question about a GPU meets first: a driver that hangs, and a GPU that cannot be read. */
static int trouble(device *gpu) {
    while (of(gpu, "hangs", 0)) usleep(10000);
    return (int)of(gpu, "error", 0);
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return (int)value("init", 0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "Scripted"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)value("count", 1); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **gpu) { *gpu = &devices[index]; return 0; }

int nvmlDeviceGetUUID(device *gpu, char *text, unsigned length) {
    snprintf(text, length, "GPU-%08d", gpu->index);
    return 0;
}

int nvmlDeviceGetPciInfo_v3(device *gpu, pci_info *pci) {
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", 0x3B + gpu->index);
    return 0;
}

int nvmlDeviceGetFieldValues(device *gpu, int count, field_value *values) {
    int problem = trouble(gpu);
    for (int i = 0; !problem && i < count; i++) {
        long action = of(gpu, "recovery", 0);
        values[i].result = values[i].field == 230 && action >= 0 ? 0 : 3;
        values[i].value = (uint64_t)action;
    }
    return problem;
}

int nvmlDeviceGetTotalEccErrors(device *gpu, int kind, int counter, uint64_t *count) {
    (void)kind, (void)counter;
    *count = (uint64_t)of(gpu, "ecc", 0);
    return trouble(gpu);
}

int nvmlDeviceGetRemappedRows(device *gpu, unsigned *corrected, unsigned *not, unsigned *pending, unsigned *failed) {
    *corrected = *not = 0;
    *pending = (unsigned)of(gpu, "remap_pending", 0), *failed = (unsigned)of(gpu, "remap_failed", 0);
    return of(gpu, "remaps", 1) ? trouble(gpu) : 3;
}

static int clocks(device *gpu, uint64_t *mask) { *mask = (uint64_t)of(gpu, "clocks", 4); return trouble(gpu); }
int nvmlDeviceGetCurrentClocksThrottleReasons(device *gpu, uint64_t *mask) { return clocks(gpu, mask); }
int nvmlDeviceGetCurrentClocksEventReasons(device *gpu, uint64_t *mask) { return clocks(gpu, mask); }

int nvmlEventSetCreate(void **set) { *set = &heard; return (int)value("events", 0); }

int nvmlDeviceRegisterEvents(device *gpu, uint64_t types, void *set) {
    FILE *xids = opened("xids");
    (void)gpu, (void)types, (void)set;
    if (xids && fseek(xids, 0, SEEK_END) == 0) heard = ftell(xids);
    if (xids) fclose(xids);
    return 0;
}

int nvmlEventSetWait_v2(void *set, event_data *event, unsigned milliseconds) {
    (void)set;
    for (unsigned waited = 0; waited < milliseconds; waited += 10) {
        int gpu, xid;
        FILE *xids = opened("xids");
        if (xids && fseek(xids, heard, SEEK_SET) == 0 && fscanf(xids, "%d %d\n", &gpu, &xid) == 2) {
            heard = ftell(xids);
            fclose(xids);
            memset(event, 0, sizeof *event);
            event->gpu = &devices[gpu], event->type = 8, event->data = (uint64_t)xid;
            return 0;
        }
        if (xids) fclose(xids);
        if (value("wait", 10) != 10) return (int)value("wait", 10);
        usleep(10000);
    }
    return 10;
}

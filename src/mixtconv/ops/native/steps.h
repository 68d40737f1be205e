/* One frame of many streams through a causal filter, and the ring buffers of the frames before it.

       y[s, c, p] = sum over the taps j of c of
                    weight[c, j] * (the frame of s from lag[c, j] frames back)[c, p]

   A group of channels that looks back `depth` frames has a ring of as many for every stream: frame t
   is in slot t % depth. The new frame replaces the oldest one, the one that is `depth` back, as soon
   as that has been read. */

/* The streams that have one new frame each. */
typedef struct {
    int64_t count;
    const int64_t *places, *counts; /* places in the pool, numbers of earlier frames */
} StepStreams;

typedef struct {
    const float *taps; /* a group's are (channels, taps); (taps, channels) in channels-last */
    int64_t num_channels, num_positions, num_groups;
    const int64_t *channels, *depths; /* by group: channels, and frames of its ring, 0 for none */
    const int64_t *num_lags, *lags;   /* by group: taps in the ring; their lags, of all one by one */
    const int64_t *meets_new;         /* by group: whether its last tap meets the new frame */
    float *const *rings;              /* by group: (pool, depth, frame of the group) */
    int64_t channels_last;
    int64_t machine; /* number of the instruction set; see mixtconv_instruction_set */
} Step;

/* One frame of each of some streams. */
typedef struct {
    const Step *step;
    const float *source;
    float *target;
    const StepStreams *streams;
    int64_t num_strips;
} StepCall;

enum { MOST_LAGS = MOST_UNROLLED - 1 };

/* One group of channels. */
typedef struct {
    int64_t first_channel, channels, depth, num_lags, meets_new;
    const float *taps;
    const int64_t *lags;
    float *ring;
} StepGroup;

/* Rows of `length` numbers of a frame and of the frames of its ring, the latter all at one distance
   from row to row. */
typedef struct {
    const float *source;
    float *target, *oldest;        /* the new frame is copied to `oldest`, if there is a ring */
    const float *past[MOST_LAGS];  /* by tap in the ring */
    const float *weights;          /* a tap's are `length` numbers if `along`, else one for a row */
    int64_t row_step, past_row_step, weight_row_step; /* numbers from a row to the next */
    int64_t num_rows, length;
    int along, meets_new;
} StepRows;

/* The loop of one instruction set for one number of taps in the ring. */
typedef void (*StepLoop)(const StepRows *rows);

#!/usr/bin/env bash
# What there is to measure on one GPU, in order, each row saved as it lands; at most 25 minutes in all.
#
#     bash benchmarks/gpu.sh                                         # LLaVA-1.5-7B, random weights, no download
#     bash benchmarks/gpu.sh training memory                         # of these alone
#     MODEL=shapes DEVICE=cpu PRECISION=fp32 OUT=/tmp/rows bash benchmarks/gpu.sh   # the same in small, to try it
#
# A measurement that fails or takes over five minutes is named at the end, and the others go on.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
MODEL=${MODEL:-llava-1.5-7b} DEVICE=${DEVICE:-cuda} PRECISION=${PRECISION:-bf16} OUT=${OUT:-benchmarks}
LONGEST=${LONGEST:-300} # seconds, of one measurement
where=(--model "$MODEL" --device "$DEVICE" --precision "$PRECISION")
small=()
if [ "$MODEL" = llava-1.5-7b ] || [ "$MODEL" = llava-1.5-13b ]; then
    small=(--gradient-checkpointing)
fi

measure() {
    local name=$1 script=$2
    shift 2
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    echo "== $name: python benchmarks/$script.py ${where[*]} $* --out $OUT/$script.json"
    timeout "$LONGEST" python "benchmarks/$script.py" "${where[@]}" "$@" --out "$OUT/$script.json" || failed+=("$name")
}

wanted=("$@") failed=() known=(training training-kl generation memory vicinal)
for name in "${wanted[@]}"; do
    [[ " ${known[*]} " == *" $name "* ]] || { echo "unknown: $name; there are ${known[*]}" >&2; exit 2; }
done
mkdir -p "$OUT"
measure training training --records 4 --rounds "${ROUNDS:-3}"
measure training-kl training --method kl --records 4 --rounds "${ROUNDS:-3}"
measure generation generation --random-weights --answer-batch 64 --max-new-tokens 128 --questions 96 --rounds "${ROUNDS:-2}"
measure memory memory "${small[@]}" --rounds 1
measure vicinal vicinal --records 3 --rounds "${ROUNDS:-3}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "not measured: ${failed[*]}" >&2
    exit 1
fi

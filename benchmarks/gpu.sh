#!/usr/bin/env bash
# What there is to measure on one GPU, in order, each row saved as it lands; at most 25 minutes in all.
#
#     bash benchmarks/gpu.sh                     # LLaVA-1.5-7B, then Qwen2.5-VL-7B: random weights, no download
#     bash benchmarks/gpu.sh training memory     # of these alone
#     MODEL=shapes FURTHER=shapes-qwen DEVICE=cpu PRECISION=fp32 OUT=/tmp/rows bash benchmarks/gpu.sh   # in small
#
# A measurement that fails or takes over three minutes is named at the end, and the others go on.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ -f .venv/bin/activate ]; then . .venv/bin/activate; fi
MODEL=${MODEL:-llava-1.5-7b} FURTHER=${FURTHER:-qwen2.5-vl-7b}
DEVICE=${DEVICE:-cuda} PRECISION=${PRECISION:-bf16} OUT=${OUT:-benchmarks}
LONGEST=${LONGEST:-180} # seconds, of one measurement
small=()
if [[ "$MODEL" == llava-* ]]; then
    small=(--gradient-checkpointing)
fi

measure() {
    local name=$1 script=$2 where=(--model "$3" --device "$DEVICE" --precision "$PRECISION")
    shift 3
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    echo "== $name: python benchmarks/$script.py ${where[*]} $* --out $OUT/$script.json"
    timeout "$LONGEST" python "benchmarks/$script.py" "${where[@]}" "$@" --out "$OUT/$script.json" || failed+=("$name")
}

wanted=("$@") failed=() known=(training training-kl generation memory vicinal training-further generation-further)
for name in "${wanted[@]}"; do
    [[ " ${known[*]} " == *" $name "* ]] || { echo "unknown: $name; there are ${known[*]}" >&2; exit 2; }
done
mkdir -p "$OUT"
pairs=(--records 4 --rounds "${ROUNDS:-3}")
questions=(--random-weights --answer-batch 64 --max-new-tokens 64 --questions 32 --rounds "${ROUNDS:-2}")
measure training training "$MODEL" "${pairs[@]}"
measure training-kl training "$MODEL" --method kl "${pairs[@]}"
measure generation generation "$MODEL" "${questions[@]}"
measure memory memory "$MODEL" "${small[@]}" --rounds 1
measure vicinal vicinal "$MODEL" --records 3 --rounds "${ROUNDS:-3}"
measure training-further training "$FURTHER" "${pairs[@]}"
measure generation-further generation "$FURTHER" "${questions[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "not measured: ${failed[*]}" >&2
    exit 1
fi

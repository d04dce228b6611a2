#!/bin/sh
# Runs in Triton's container: builds what plans are missing, then serves them.
#
#   /source   triton_models of the checkout, read only: gpu/NAME/config.pbtxt, cpu/NAME/VERSION/*.onnx
#   /models   a volume that stays: repository/ (what Triton loads), timing.cache
#
# A plan is built from a version's ONNX file and belongs to that file, to this version of TensorRT and
# to this kind of GPU: its stamp says which, and a plan with another stamp is built again. A plan is
# written aside and renamed when it is whole; a build that fails ends the script, and nothing is served.
# PRECISION (auto, fp32, fp16, int8) chooses the file: TensorRT 11 computes in the types that the file
# has. auto takes model.fp16.onnx where it lies beside model.onnx. Arguments go to tritonserver.
set -eu

SOURCE=${SOURCE:-/source}
MODELS=${MODELS:-/models}
PRECISION=${PRECISION:-auto}
REPOSITORY=$MODELS/repository
# One picture at once, a worker's batch, and a full GPU; config.pbtxt names them by their numbers.
PROFILES="
--profile=0 --minShapes=image:1x1x256x256 --optShapes=image:1x1x256x256 --maxShapes=image:1x1x256x256
--profile=1 --minShapes=image:1x1x256x256 --optShapes=image:8x1x256x256 --maxShapes=image:16x1x256x256
--profile=2 --minShapes=image:1x1x256x256 --optShapes=image:64x1x256x256 --maxShapes=image:64x1x256x256"

say() { echo "entry: $*" >&2; }
fail() { say "$*"; exit 1; }

# The version is in the first line that trtexec prints: [TensorRT v110400]
tensorrt_version() {
    "$TRTEXEC" --help 2>&1 | sed -n 's/.*\[TensorRT v\([0-9]*\)\].*/\1/p' | head -n 1
}

gpu_kind() { # print nothing where nvidia-smi fails: it complains on standard output
    told=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null) || return 0
    printf '%s\n' "$told" | sort -u | tr '\n' ';'
}

onnx_of() { # FOLDER: print the file to build from
    case $PRECISION in
        auto) if [ -f "$1/model.fp16.onnx" ]; then echo "$1/model.fp16.onnx"; else echo "$1/model.onnx"; fi ;;
        fp32) echo "$1/model.onnx" ;;
        fp16) echo "$1/model.fp16.onnx" ;;
        int8) echo "$1/model.int8-symmetric.onnx" ;; # TensorRT takes no zero point; a CPU's file has one
        *) fail "PRECISION must be auto, fp32, fp16 or int8, not $PRECISION" ;;
    esac
}

precision_of() { # FILE: print what it computes in
    case $1 in
        *.fp16.onnx) echo fp16 ;;
        *.int8-symmetric.onnx) echo int8 ;;
        *) echo fp32 ;;
    esac
}

build() { # ONNX PLAN: the same arguments as engine/builds/tensorrt.py gives, a test compares them
    # shellcheck disable=SC2086
    "$TRTEXEC" "--onnx=$1" "--saveEngine=$2" "--timingCacheFile=$MODELS/timing.cache" $PROFILES \
        --skipInference >"$MODELS/build.log" 2>&1
}

prepare_version() { # NAME VERSION
    onnx=$(onnx_of "$SOURCE/cpu/$1/$2")
    [ -f "$onnx" ] || fail "there is no $onnx: make it with scanstream model build --target onnx, and lay it there"
    digest=$(sha256sum "$onnx" | cut -d ' ' -f 1)
    stamp=$(echo "onnx=$digest tensorrt=$TENSORRT gpu=$GPU" $PROFILES)
    folder=$REPOSITORY/$1/$2
    mkdir -p "$folder"
    if [ -f "$folder/model.plan" ] && [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
        say "$1 version $2: the plan is up to date"
    else
        say "$1 version $2: building a plan from $(basename "$onnx"); this takes minutes"
        aside=$MODELS/building.plan
        rm -f "$aside"
        if ! build "$onnx" "$aside" || [ ! -s "$aside" ]; then
            rm -f "$aside"
            rmdir "$folder" 2>/dev/null || true
            tail -n 5 "$MODELS/build.log" >&2
            fail "$1 version $2: trtexec failed; all it said is in $MODELS/build.log"
        fi
        rm -f "$folder/stamp" # killed between these lines, the plan is built again
        mv "$aside" "$folder/model.plan"
        echo "$stamp" >"$folder/stamp.new"
        mv "$folder/stamp.new" "$folder/stamp"
    fi
    {
        echo "parameters { key: \"digest:$2\" value { string_value: \"$digest\" } }"
        echo "parameters { key: \"precision:$2\" value { string_value: \"$(precision_of "$onnx")\" } }"
    } >>"$CONFIG"
}

prepare_model() { # NAME
    found=
    mkdir -p "$REPOSITORY/$1"
    CONFIG=$MODELS/config.new
    cp "$SOURCE/gpu/$1/config.pbtxt" "$CONFIG"
    for one in "$SOURCE/cpu/$1"/[0-9]*; do
        [ -d "$one" ] || continue
        prepare_version "$1" "$(basename "$one")"
        found=yes
    done
    [ -n "$found" ] || fail "$1 has no version in $SOURCE/cpu/$1"
    mv "$CONFIG" "$REPOSITORY/$1/config.pbtxt"
    for one in "$REPOSITORY/$1"/[0-9]*; do # versions that were taken away
        [ -d "$SOURCE/cpu/$1/$(basename "$one")" ] || rm -rf "$one"
    done
}

TRTEXEC=$(PATH=$PATH:/usr/src/tensorrt/bin:/opt/tensorrt/bin command -v trtexec) ||
    fail "trtexec is not in this container: use the image that compose.yaml names"
TENSORRT=$(tensorrt_version)
[ -n "$TENSORRT" ] || fail "trtexec does not say which TensorRT it is of"
GPU=$(gpu_kind)
[ -n "${GPU#;}" ] || fail "nvidia-smi sees no GPU: give the container one"

mkdir -p "$REPOSITORY"
exec 9>"$MODELS/lock"
flock 9 # two containers on one volume build one after the other
models=
for config in "$SOURCE"/gpu/*/config.pbtxt; do
    [ -f "$config" ] || fail "there is no gpu/NAME/config.pbtxt in $SOURCE"
    prepare_model "$(basename "$(dirname "$config")")"
    models=yes
done
[ -n "$models" ] || fail "nothing to serve"
for one in "$REPOSITORY"/*; do # models that were taken away: Triton loads all that lie here
    [ -f "$SOURCE/gpu/$(basename "$one")/config.pbtxt" ] || rm -rf "$one"
done
exec 9>&-

# Addresses: compose.yaml publishes them on this machine's loopback only. Shared memory of clients has
# to be allowed since 2.69; whoever reaches the port can then have any region registered.
exec tritonserver \
    "--model-repository=$REPOSITORY" \
    --model-control-mode=explicit '--load-model=*' \
    --strict-readiness=true \
    --allow-client-shm=true \
    --exit-timeout-secs=30 \
    "$@"

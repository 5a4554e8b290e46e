#!/usr/bin/env bash
# yolo_to_onnx.sh VENV FOLDER: export YOLO pose networks to FOLDER/NAME-SIZE.onnx with the command line of the package in
# VENV, at the input sizes of the race. Its weights are taken from $WEIGHTS/NAME.pt, all of which must be there then.
# Where WEIGHTS is not set they are taken from where the package fetches them; where they cannot be had there, the
# network is exported with random weights, as FOLDER/NAME-SIZE-random.onnx: good for its latency and nothing else.
set -euo pipefail

stop() {  # SENTENCE
    echo "Error: $1" >&2
    exit 1
}

venv=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
weights=${WEIGHTS:-}
if [ -n "$weights" ]; then
    [ -d "$weights" ] || stop "WEIGHTS is $weights, which is no folder: name the one that holds the .pt files, or unset it"
    weights=$(realpath "$weights")
fi
export YOLO_CONFIG_DIR=$folder/settings YOLO_AUTOINSTALL=false
mkdir -p "$YOLO_CONFIG_DIR"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

export_at() {  # MODEL SIZE TARGET [OPTION…]
    rm -f ./*.onnx
    "$venv/bin/yolo" export model="$1" task=pose format=onnx imgsz="$2" batch=1 simplify=True "${@:4}" >log 2>&1 || return 1
    mv ./*.onnx "$3"
}

for entry in yolo11n-pose:11/yolo11-pose.yaml yolo26n-pose:26/yolo26-pose.yaml; do
    name=${entry%%:*}
    # YOLO26 gives its remaining boxes itself, without a suppression of overlapping ones: its own best form.
    options=(); [ "$name" = yolo26n-pose ] && options=(nms=False)
    if [ -n "$weights" ]; then
        [ -f "$weights/$name.pt" ] || stop "there is no $name.pt in $weights: put it there, or unset WEIGHTS"
        cp "$weights/$name.pt" "$name.pt"
    fi
    # Without weights the architecture is built as its trained form is: of one class, the person.
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    sed 's/^nc: .*/nc: 1/' "$site/ultralytics/cfg/models/${entry#*:}" >"$name.yaml"
    for size in 256 192; do
        if [ ! -e "$name.none" ] && export_at "$name.pt" "$size" "$folder/$name-$size.onnx" "${options[@]}"; then
            rm -f "$folder/$name-$size-random.onnx"
            echo "$name at $size: exported"
        elif [ -e "$name.pt" ]; then  # it has its weights: what went wrong is something else
            cat log >&2
            stop "$name at $size could not be exported with its weights: see above"
        else
            touch "$name.none"
            export_at "$name.yaml" "$size" "$folder/$name-$size-random.onnx" "${options[@]}" || { cat log; exit 1; }
            echo "$name at $size: no weights to be had, exported with random ones"
        fi
    done
done

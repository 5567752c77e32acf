# shellcheck shell=sh disable=SC2012,SC2034,SC2154
# What the demo's scripts share; they source it with their command line: its options, set-up, data, classifiers, training.
# Sets python, name, seed, data, window, classifiers, train_options; changes to the repository's root. A script that sets
# mixes, the numbers of sources, takes --mixes as well; one that sets form=full takes the open data set alone, and --small;
# one that sets rate has recordings of that rate instead of 11025 Hz.
name=demo seed=0 kind=demo quick=
recordings=60 seconds=12 frames=12 bodies=160 ensembles=0
pretrain_epochs=16 epochs=11 repeats=2 drop=8 mask_thres=0.5
[ -z "${form:-}" ] || kind=open
refuse() {
    own="[--data open]"
    [ -z "${form:-}" ] || own="[--small]"
    echo "error: $1; usage: $0 [--quick] $own [--seed N]${mixes+ [--mixes \"2 3\"]}" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        quick=-quick
        recordings=12 seconds=4 frames=2 bodies=10
        pretrain_epochs=1 epochs=1 repeats=1 drop=1 mask_thres=0.1 # masks that have learnt nothing are below 0.5
        ;;
    --seed)
        [ $# -gt 1 ] && shift
        seed=${1:-}
        case $seed in '' | *[!0-9]* | ??????????*) refuse "--seed takes a whole number from 0 to 999999999" ;; esac
        ;;
    --small)
        [ "${form:-}" ] || refuse "unknown option $1"
        form=small
        ;;
    --data)
        [ -z "${form:-}" ] || refuse "unknown option $1"
        [ $# -gt 1 ] && shift
        case ${1:-} in demo | open) kind=$1 ;; *) refuse "--data takes demo or open" ;; esac
        ;;
    --mixes)
        [ "${mixes+taken}" ] || refuse "unknown option $1"
        [ $# -gt 1 ] && shift
        mixes=${1:-}
        case " $mixes " in
        *[!2-4\ ]* | *[2-4][2-4]* | *2*2* | *3*3* | *4*4*) refuse "--mixes takes numbers of sources from 2 to 4" ;;
        *[2-4]*) ;;
        *) refuse "--mixes takes numbers of sources from 2 to 4" ;;
        esac
        ;;
    *) refuse "unknown option $1" ;;
    esac
    shift
done
# The open data set's clouds have three times as many points, which take longer to read.
[ "$kind" = demo ] || { [ "$quick" ] || frames=6 bodies=96; name=open-demo; }
case ${form:-}$quick in
full) # the published sizes, for a GPU
    name=open recordings=300 seconds=60 frames=60 bodies=400 ensembles=12
    pretrain_epochs=40 epochs=60 repeats=40 drop="40 55"
    ;;
small) # as many notes as two cores can learn from in an hour
    name=open-small recordings=100 ensembles=6 epochs=9 drop=7
    ;;
full-quick | small-quick) name=open ensembles=2 ;;
esac
[ -z "${rate:-}" ] || name=$name-${rate}hz
name=$name$quick
option=
[ "$kind" = demo ] || option=--open
"$here/setup.sh" $option
cd "$here/.." || exit
python=.venv/bin/python
data=data/$name
classifier=ckpt/$name-seed$seed-classifier.pth # by clouds with colours
cloud_options="--voxel_size 0.05 --augment 0.2 --workers 0 --seed $seed"
window=16383 size_options="--arch_sound unet6 --ngf 16 --batch_size_per_gpu 16"
if [ "${form:-}$quick" = full ]; then
    cloud_options="--voxel_size 0.02 --augment 0.5 --workers 12 --seed $seed"
    window=65535 size_options="--arch_sound unet7 --ngf 64 --batch_size_per_gpu 40"
fi
train_options="--list_train $data/train.csv --list_val $data/val.csv --optimizer adam --lr_sound 3e-4
    --lr_synthesizer 3e-4 --lr_vision 0 --vision_activation tanh --num_channels 16 $size_options
    --audLen $window --weighted_loss 1 --dup_trainset $repeats --num_epoch $epochs
    --lr_steps $drop --eval_epoch 1 --num_vis 0 --mask_thres $mask_thres $cloud_options"

make_data() {
    if [ "$kind" = open ]; then # which has its own lists: its splits share no font and no piece
        $python scripts/make_open_data.py --output "$data" --cache data/open-parts --seed "$seed" --overwrite 1 \
            --recordings $recordings --seconds $seconds --frames $frames --bodies $bodies --ensembles $ensembles \
            --audRate "${rate:-11025}"
        return
    fi
    $python scripts/make_demo_data.py --output "$data" --seed "$seed" --overwrite 1 --audRate "${rate:-11025}" \
        --recordings $recordings --seconds $seconds --frames $frames --bodies $bodies
    $python scripts/create_index_files.py --seed "$seed" \
        --root_audio "$data/audio" --root_frame "$data/frames" --path_output "$data"
}

# pretrain FILE RGBS_FEATURE
pretrain() {
    # shellcheck disable=SC2086
    $python scripts/pretrain_vision.py --data "$data/bodies" --output "$1" --overwrite 1 --rgbs_feature "$2" \
        --optimizer adam --lr 1e-3 --num_epoch $pretrain_epochs --eval_epoch 4 $cloud_options
}

# The classifiers of clouds without and with colours, where they are not trained already.
pretrain_both() {
    depth=ckpt/$name-seed$seed-classifier-depth.pth
    [ -f "$depth" ] || pretrain "$depth" 0
    [ -f "$classifier" ] || pretrain "$classifier" 1
}

# train ID [OPTIONS]: the model conditioned on clouds with colours
train() {
    # shellcheck disable=SC2086
    $python main.py --rgbs_feature 1 --pretrained_vision "$classifier" $train_options --id "$@"
}

# run_of ID: the folder of the run trained last
run_of() {
    ls -td ckpt/"$1"-2mix-* | head -n 1
}

# shellcheck shell=sh disable=SC2012,SC2034,SC2154
# What the demo's scripts share; they source it with their command line: its options, set-up, data, classifiers, training.
# Sets python, name, seed, data, classifier, train_options; changes to the repository's root. A script that sets mixes, the
# numbers of sources, takes --mixes as well.
name=demo seed=0
recordings=60 seconds=12 frames=12 bodies=160
pretrain_epochs=16 epochs=11 repeats=2 drop=8 mask_thres=0.5
refuse() {
    echo "error: $1; usage: $0 [--quick] [--seed N]${mixes+ [--mixes \"2 3\"]}" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        name=demo-quick
        recordings=12 seconds=4 frames=2 bodies=10
        pretrain_epochs=1 epochs=1 repeats=1 drop=1 mask_thres=0.1 # masks that have learnt nothing are below 0.5
        ;;
    --seed)
        [ $# -gt 1 ] && shift
        seed=${1:-}
        case $seed in '' | *[!0-9]* | ??????????*) refuse "--seed takes a whole number from 0 to 999999999" ;; esac
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
"$here/setup.sh"
cd "$here/.." || exit
python=.venv/bin/python
data=data/$name
classifier=ckpt/$name-seed$seed-classifier.pth # by clouds with colours
cloud_options="--voxel_size 0.05 --augment 0.2 --workers 0 --seed $seed"
train_options="--list_train $data/train.csv --list_val $data/val.csv --optimizer adam --lr_sound 3e-4
    --lr_synthesizer 3e-4 --lr_vision 0 --vision_activation tanh --arch_sound unet6 --ngf 16 --num_channels 16
    --audLen 16383 --weighted_loss 1 --batch_size_per_gpu 16 --dup_trainset $repeats --num_epoch $epochs
    --lr_steps $drop --eval_epoch 1 --num_vis 0 --mask_thres $mask_thres $cloud_options"

make_data() {
    $python scripts/make_demo_data.py --output "$data" --seed "$seed" --overwrite 1 \
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

# train ID [OPTIONS]: the model conditioned on clouds with colours
train() {
    # shellcheck disable=SC2086
    $python main.py --rgbs_feature 1 --pretrained_vision "$classifier" $train_options --id "$@"
}

# run_of ID: the folder of the run trained last
run_of() {
    ls -td ckpt/"$1"-2mix-* | head -n 1
}
